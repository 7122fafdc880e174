#!/usr/bin/env bash
# Carries out one deployment, apart from the connection that asked for it (receive.sh starts this).
#
# Usage: carry_out.sh ENVIRONMENT follow|deploy RUN_ID BY RESULT
#
# RESULT is a file that is there at the end: the exit code, then what there is to say.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly ENVIRONMENT=$1 VERB=$2 RUN_ID=$3 BY=$4 RESULT=$5
# The run that the main branch asked for last and got.
readonly FOLLOWED=.deploy/followed

carry_out() {
  local told served
  told=$(make deployed "env=$ENVIRONMENT" 2>&1) || {
    printf '%s\n' "$told"
    return 1
  }
  served=$(grep --extended-regexp --line-regexp '[0-9a-f]{32}' <<<"$told" | tail -n 1) || true
  if [[ $served = "$RUN_ID" ]]; then
    printf 'nothing to do: run %s is deployed\n' "$RUN_ID"
  elif [[ $VERB = follow && -n $served && -e $FOLLOWED && $(<"$FOLLOWED") = "$RUN_ID" ]]; then
    printf 'left alone: run %s was deployed from here before, and somebody has gone over to run ' "$RUN_ID"
    printf '%s since; to deploy it again, start the workflow by hand\n' "$served"
    return 0
  else
    make deploy "RUN_ID=$RUN_ID" "env=$ENVIRONMENT" "DEPLOYED_BY=$BY" 2>&1 || return 1
  fi
  printf '%s\n' "$RUN_ID" >"$FOLLOWED.new" && mv "$FOLLOWED.new" "$FOLLOWED"
}

said=$RESULT.said
code=0
carry_out >"$said" || code=$?
{
  printf '%s\n' "$code"
  cat "$said"
} >"$RESULT.new"
mv "$RESULT.new" "$RESULT"
rm "$said"
