#!/usr/bin/env bash
# Requests a deployment over ssh from the machine that runs the stack (receive.sh handles it there).
#
# Usage: deploy_over_ssh.sh served
#        deploy_over_ssh.sh follow|deploy RUN_ID REQUEST BY
#
# Environment variables (a command line would be visible to everybody):
#   DEPLOY_HOST, DEPLOY_USER, DEPLOY_PORT (22)
#   DEPLOY_KEY                the private key
#   DEPLOY_KNOWN_HOSTS        the host's public keys, as lines of a known_hosts file
#   DEPLOY_SECONDS (600)      how long to retry when the connection fails or drops
#
# Exit code: that of receive.sh (0, 1, 2, 75); 3 the machine cannot be reached; 4 it refuses the
# key; 5 its host key is not the known one.
set -euo pipefail

readonly RUN_ID_FORM='^[0-9a-f]{32}$'

fail() {
  printf '%s\n' "$2" >&2
  exit "$1"
}

: "${DEPLOY_HOST:=}" "${DEPLOY_USER:=}"
for name in DEPLOY_HOST DEPLOY_USER DEPLOY_KEY DEPLOY_KNOWN_HOSTS; do
  [[ -n ${!name:-} ]] || fail 2 "$name is not set"
done
[[ $DEPLOY_HOST =~ ^[0-9A-Za-z][0-9A-Za-z.:-]*$ ]] || fail 2 'DEPLOY_HOST is not a host name or address'
[[ $DEPLOY_USER =~ ^[0-9a-z_][0-9a-z_-]*$ ]] || fail 2 'DEPLOY_USER is not a user name'
[[ ${DEPLOY_PORT:=22} =~ ^[0-9]{1,5}$ ]] || fail 2 'DEPLOY_PORT is not a port'
[[ ${DEPLOY_SECONDS:=600} =~ ^[0-9]{1,5}$ ]] || fail 2 'DEPLOY_SECONDS is not a number of seconds'
case "$#:${1:-}" in
  1:served) ;;
  4:follow | 4:deploy) [[ $2 =~ $RUN_ID_FORM ]] || fail 2 "RUN_ID must be 32 digits and letters a to f, not '${2:0:64}'" ;;
  *) fail 2 'usage: deploy_over_ssh.sh served | follow|deploy RUN_ID REQUEST BY' ;;
esac

umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf '%s\n' "$DEPLOY_KEY" >"$folder/key"
printf '%s\n' "$DEPLOY_KNOWN_HOSTS" >"$folder/known_hosts"

# -F: ignore this machine's ssh configuration. -E: keep ssh's own messages apart from the answer.
ask() {
  ssh -F /dev/null -T -E "$folder/log" -i "$folder/key" -l "$DEPLOY_USER" -p "$DEPLOY_PORT" \
    -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none \
    -o PreferredAuthentications=publickey \
    -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$folder/known_hosts" \
    -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no \
    -o ConnectTimeout=15 -o ServerAliveInterval=10 -o ServerAliveCountMax=3 \
    -- "$DEPLOY_HOST" "$*" </dev/null
}

while true; do
  code=0
  : >"$folder/log"
  ask "$@" >"$folder/answer" || code=$?
  # 255 is ssh's own failure; every other code is the command's.
  if [[ $code -ne 255 ]]; then
    cat "$folder/answer"
    exit "$code"
  fi
  if grep -q 'REMOTE HOST IDENTIFICATION HAS CHANGED' "$folder/log"; then
    fail 5 "$DEPLOY_HOST shows another host key than the one in DEPLOY_KNOWN_HOSTS: find out why before you change it"
  elif grep -q 'Host key verification failed' "$folder/log"; then
    fail 5 "DEPLOY_KNOWN_HOSTS has no host key of $DEPLOY_HOST"
  elif grep -q 'Load key' "$folder/log"; then
    fail 4 'DEPLOY_KEY is not a private key'
  elif grep -q 'Permission denied' "$folder/log"; then
    fail 4 "$DEPLOY_USER@$DEPLOY_HOST refuses the key"
  elif [[ $SECONDS -ge $DEPLOY_SECONDS ]]; then
    tail -n 1 "$folder/log" >&2
    fail 3 "$DEPLOY_HOST could not be reached, or the connection kept dropping, for $SECONDS s"
  fi
  printf 'asking again, because: %s\n' "$(tail -n 1 "$folder/log" | tr -d '\r')" >&2
  sleep "$((SECONDS < 10 ? 1 : 5))"
done
