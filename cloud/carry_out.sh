#!/usr/bin/env bash
# Carries out one deployment, independent of the connection that requested it (receive.sh starts this).
#
# Usage: carry_out.sh ENVIRONMENT follow|deploy RUN_ID BY RESULT
#
# RESULT is the file that this script writes at the end: the exit code, then the messages.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly ENVIRONMENT=$1 VERB=$2 RUN_ID=$3 BY=$4 RESULT=$5
# The last run that was deployed at the main branch's request.
readonly FOLLOWED=.deploy/followed

carry_out() {
  local output served
  output=$(make deployed "env=$ENVIRONMENT" 2>&1) || {
    printf '%s\n' "$output"
    return 1
  }
  served=$(grep --extended-regexp --line-regexp '[0-9a-f]{32}' <<<"$output" | tail -n 1) || true
  if [[ $served = "$RUN_ID" ]]; then
    printf 'nothing to do: run %s is deployed\n' "$RUN_ID"
  elif [[ $VERB = follow && -n $served && -e $FOLLOWED && $(<"$FOLLOWED") = "$RUN_ID" ]]; then
    printf 'left alone: run %s was deployed from here before, and somebody has switched to run ' "$RUN_ID"
    printf '%s since; to deploy it again, start the workflow by hand\n' "$served"
    return 0
  else
    make deploy "RUN_ID=$RUN_ID" "env=$ENVIRONMENT" "DEPLOYED_BY=$BY" 2>&1 || return 1
  fi
  printf '%s\n' "$RUN_ID" >"$FOLLOWED.new" && mv "$FOLLOWED.new" "$FOLLOWED"
}

messages=$RESULT.messages
code=0
carry_out >"$messages" || code=$?
{
  printf '%s\n' "$code"
  cat "$messages"
} >"$RESULT.new"
mv "$RESULT.new" "$RESULT"
rm "$messages"
