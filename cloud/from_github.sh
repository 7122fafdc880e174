#!/usr/bin/env bash
# The step of .github/workflows/deploy.yml that deploys: reads what main decides, asks the machine
# for it, and reports in the job's summary.
#
# Usage: from_github.sh TESTED NEWEST
#        two .env.cloud: that of the commit whose tests have passed, and main's newest
#
# From the process environment: VERB (follow or deploy), what deploy_over_ssh.sh reads, and what
# GitHub sets for every step.
set -euo pipefail

readonly FORM=$'^RUN_ID=([\'"]?)([0-9a-f]{32})?([\'"]?)([[:space:]]+#.*)?[[:space:]]*$'

# Prints the RUN_ID of an environment's file; nothing when none is chosen.
run_id_of() {
  local line
  line=$(grep --extended-regexp '^\s*(export\s+)?RUN_ID\s*=' "$1") || true
  if [[ $line != *$'\n'* && $line =~ $FORM && ${BASH_REMATCH[1]} = "${BASH_REMATCH[3]}" ]]; then
    printf '%s\n' "${BASH_REMATCH[2]}"
  else
    printf '%s: there has to be one line RUN_ID=, with 32 digits and letters a to f or nothing\n' "$1"
    return 1
  fi
}

report() {
  printf '%s\n' "$2"
  # As text, whatever is in it.
  printf '### Deployment: %s\n\n' "$1" >>"$GITHUB_STEP_SUMMARY"
  printf '%s\n' "$2" | sed 's/^/    /' >>"$GITHUB_STEP_SUMMARY"
}

tested=$(run_id_of "$1") || { report 'not understood' "$tested" && exit 2; }
newest=$(run_id_of "$2") || { report 'not understood' "$newest" && exit 2; }
if [[ $tested != "$newest" ]]; then
  report 'left to a later run' "main has decided anew meanwhile: its tests come first"
elif [[ -z $tested ]]; then
  report 'nothing to do' 'RUN_ID in .env.cloud is empty: main decides on no model'
else
  code=0
  said=$("$(dirname "$0")/deploy_over_ssh.sh" "$VERB" "$tested" \
    "$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT" "github:$GITHUB_ACTOR" 2>&1) || code=$?
  case $code in
    0) report 'done' "$said" ;;
    1) report 'refused by the machine' "$said" ;;
    75) report 'refused: another one is under way' "$said" ;;
    *) report "failed ($code)" "$said" ;;
  esac
  exit "$code"
fi
