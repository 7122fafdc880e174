#!/usr/bin/env bash
# The deploying step of .github/workflows/deploy.yml: reads RUN_ID of main, requests its deployment
# from the machine, and writes the job's summary.
#
# Usage: from_github.sh TESTED NEWEST
#        two .env.cloud files: of the commit whose tests have passed, and of main's newest commit
#
# Environment variables: VERB (follow or deploy), those of deploy_over_ssh.sh, and those that GitHub
# sets for every step.
set -euo pipefail

readonly FORM=$'^[[:space:]]*(export[[:space:]]+)?RUN_ID[[:space:]]*=[[:space:]]*([\'"]?)(runs:/)?([0-9a-fA-F]{32})?(/model)?([\'"]?)([[:space:]]+#.*)?[[:space:]]*$'

# Prints the RUN_ID of an environment's file; an empty line if none is chosen.
run_id_of() {
  local line
  line=$(grep --extended-regexp '^\s*(export\s+)?RUN_ID\s*=' "$1") || true
  if [[ $line != *$'\n'* && $line =~ $FORM && ${BASH_REMATCH[2]} = "${BASH_REMATCH[6]}" ]]; then
    printf '%s\n' "${BASH_REMATCH[4],,}"
  else
    printf '%s: there has to be one line RUN_ID=, followed by 32 digits and letters a to f or by nothing; found: %s\n' "$1" "${line:0:100}"
    return 1
  fi
}

report() {
  printf '%s\n' "$2"
  # Indented, so that Markdown shows it as it is.
  printf '### Deployment: %s\n\n' "$1" >>"$GITHUB_STEP_SUMMARY"
  printf '%s\n' "$2" | sed 's/^/    /' >>"$GITHUB_STEP_SUMMARY"
}

tested=$(run_id_of "$1") || { report 'not understood' "$tested" && exit 2; }
newest=$(run_id_of "$2") || { report 'not understood' "$newest" && exit 2; }
if [[ $tested != "$newest" ]]; then
  report 'left to a later run' "RUN_ID has changed on main since: the tests of that commit come first"
elif [[ -z $tested ]]; then
  report 'nothing to do' 'RUN_ID in .env.cloud is empty: main does not choose a model'
else
  code=0
  messages=$("$(dirname "$0")/deploy_over_ssh.sh" "$VERB" "$tested" \
    "$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT" "github:$GITHUB_ACTOR" 2>&1) || code=$?
  case $code in
    0) report 'done' "$messages" ;;
    1) report 'refused by the machine' "$messages" ;;
    75) report 'refused: another deployment is in progress' "$messages" ;;
    *) report "failed ($code)" "$messages" ;;
  esac
  exit "$code"
fi
