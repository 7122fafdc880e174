#!/usr/bin/env bash
# The machine's side of a deployment that is asked for over ssh: all that the deployment key may
# run. Its line in ~/.ssh/authorized_keys:
#
#   restrict,command="/srv/mlstack/deployment/receive.sh cloud" ssh-ed25519 AAAA... github
#
# What may be asked:
#   served                      the run id that is deployed
#   follow RUN_ID REQUEST BY    the main branch says RUN_ID: deploy it, unless it was deployed from
#                               there before and somebody has changed the model here since
#   deploy RUN_ID REQUEST BY    a person says RUN_ID: deploy it
#
# A deployment goes on when the connection drops, and ends whole. Whoever asks again with the same
# REQUEST waits for it, or is told how it ended; so asking again is always safe.
#
# Exit code: 0 done, or nothing to do; 1 refused or taken back; 2 not understood; 75 another
# deployment is under way.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly ENVIRONMENT=${1:?names the environment: cloud}
readonly ASKED=${SSH_ORIGINAL_COMMAND:-}
readonly NOTES=.deploy
readonly KEPT_RESULTS=50

refuse() {
  printf '%s\n' "$1" >&2
  exit 2
}

# What a request's deployment printed; ends with its exit code.
report() {
  tail -n +2 "$1"
  exit "$(head -n 1 "$1")"
}

[[ $ASKED != *$'\n'* ]] || refuse 'one line is asked for'
read -r verb run_id request by more <<<"$ASKED" || true
case $verb in
  served)
    [[ -z $run_id ]] || refuse 'served takes no arguments'
    make deployed "env=$ENVIRONMENT" || exit 1
    exit 0
    ;;
  follow | deploy) ;;
  *) refuse 'this key may ask: served, follow RUN_ID REQUEST BY, deploy RUN_ID REQUEST BY' ;;
esac
[[ $run_id =~ ^[0-9a-f]{32}$ ]] || refuse 'RUN_ID is not one: 32 digits and letters a to f'
[[ $request =~ ^[0-9A-Za-z][0-9A-Za-z-]{0,63}$ ]] || refuse 'REQUEST: up to 64 letters, digits and -'
[[ $by =~ ^[0-9A-Za-z][][0-9A-Za-z:._-]{0,63}$ ]] || refuse 'BY: up to 64 letters, digits and []:._-'
[[ -z $more ]] || refuse 'that is too much: VERB RUN_ID REQUEST BY'

umask 077
mkdir -p "$NOTES/results"
readonly RESULT=$NOTES/results/$request

# The lock belongs to the open file: the deployment inherits it and has it to its end, whatever
# becomes of this script. (Those who wait hold it for a moment: hence the second of patience.)
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
  printf 'another deployment is under way: %s\n' "$(tail -n 1 "$NOTES/running")" >&2
  exit 75
fi
exec 9>&-

exec 8<"$NOTES/lock"
flock --shared 8
exec 8<&-
[[ -e $RESULT ]] || {
  printf 'the deployment ended without a result; its last words:\n' >&2
  tail -n 5 "$NOTES/errors" >&2
  exit 1
}
report "$RESULT"
