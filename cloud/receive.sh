#!/usr/bin/env bash
# Handles deployments requested over ssh: the only command that the deployment key may run. Its line
# in ~/.ssh/authorized_keys:
#
#   restrict,command="/srv/mlstack/cloud/receive.sh cloud" ssh-ed25519 AAAA... github
#
# Requests:
#   served                      print the deployed run id
#   follow RUN_ID REQUEST BY    deploy the run that the main branch names, unless it was deployed
#                               from there before and somebody has switched to another one since
#   deploy RUN_ID REQUEST BY    deploy the run that a person names
#
# A deployment continues when the connection drops. Repeating the same REQUEST waits for its result
# or returns it, so repeating is always safe.
#
# Exit code: 0 done, or nothing to do; 1 refused or rolled back; 2 invalid request; 75 another
# deployment is in progress.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly ENVIRONMENT=${1:?names the environment: cloud}
readonly REQUESTED=${SSH_ORIGINAL_COMMAND:-}
readonly NOTES=.deploy
readonly KEPT_RESULTS=50

refuse() {
  printf '%s\n' "$1" >&2
  exit 2
}

# Prints the messages of a finished deployment and exits with its code.
report() {
  tail -n +2 "$1"
  exit "$(head -n 1 "$1")"
}

[[ $REQUESTED != *$'\n'* ]] || refuse 'a request is one line'
read -r verb run_id request by more <<<"$REQUESTED" || true
case $verb in
  served)
    [[ -z $run_id ]] || refuse 'served takes no arguments'
    make deployed "env=$ENVIRONMENT" || exit 1
    exit 0
    ;;
  follow | deploy) ;;
  *) refuse 'this key may request: served, follow RUN_ID REQUEST BY, deploy RUN_ID REQUEST BY' ;;
esac
[[ $run_id =~ ^[0-9a-f]{32}$ ]] || refuse 'RUN_ID must be 32 digits and letters a to f'
[[ $request =~ ^[0-9A-Za-z][0-9A-Za-z-]{0,63}$ ]] || refuse 'REQUEST must be up to 64 letters, digits and -'
[[ $by =~ ^[0-9A-Za-z][][0-9A-Za-z:._-]{0,63}$ ]] || refuse 'BY must be up to 64 letters, digits and []:._-'
[[ -z $more ]] || refuse 'too many words: VERB RUN_ID REQUEST BY is expected'

umask 077
mkdir -p "$NOTES/results"
readonly RESULT=$NOTES/results/$request

# The deployment inherits the open file, and thus holds the lock until it ends, even if this script
# dies. Waiting scripts hold the lock for a moment, hence the timeout of a second.
exec 9>>"$NOTES/lock"
if flock --wait 1 9; then
  if [[ ! -e $RESULT ]]; then
    find "$NOTES/results" -type f -printf '%T@ %p\n' | sort -rn | tail -n +"$KEPT_RESULTS" |
      cut -d ' ' -f 2- | xargs -r rm --
    printf '%s\n' "$request" "run $run_id for $by since $(date -u +%FT%TZ)" >"$NOTES/running"
    setsid cloud/carry_out.sh "$ENVIRONMENT" "$verb" "$run_id" "$by" "$RESULT" \
      </dev/null >/dev/null 2>>"$NOTES/errors" &
  fi
elif [[ $(head -n 1 "$NOTES/running") != "$request" ]]; then
  printf 'another deployment is in progress: %s\n' "$(tail -n 1 "$NOTES/running")" >&2
  exit 75
fi
exec 9>&-

exec 8<"$NOTES/lock"
flock --shared 8
exec 8<&-
[[ -e $RESULT ]] || {
  printf 'the deployment ended without a result; its last messages:\n' >&2
  tail -n 5 "$NOTES/errors" >&2
  exit 1
}
report "$RESULT"
