#!/usr/bin/env bash
# Lets somebody through the proxy's login, or gives him or her another password.
#
# Usage: user.sh NAME     reads the password from the terminal, or from standard input
set -euo pipefail
[[ ${1:-} =~ ^[0-9A-Za-z][0-9A-Za-z.@_-]*$ ]] || { echo "usage: user.sh NAME (letters, digits and .@_-)" >&2 && exit 2; }
cd "$(dirname "$0")/../.."

[ ! -t 0 ] || printf 'Password for %s: ' "$1" >&2
IFS= read -rs password || [ -n "$password" ]
[ "${#password}" -ge 12 ] || { echo "at least 12 characters" >&2 && exit 1; }

owner=$(stat --format %u .)
mine=()
if [ "$(id -u)" = 0 ]; then
  [ "$owner" != 0 ] || owner=10001
  mine=(--owner "$owner" --group "$owner")
fi
install --directory --mode 700 "${mine[@]}" .secrets
new=$(mktemp)
trap 'rm -f "$new"' EXIT
[ ! -e .secrets/proxy_users ] || grep --invert-match "^$1:" .secrets/proxy_users >"$new" || true
printf '%s:%s\n' "$1" "$(printf '%s' "$password" | openssl passwd -6 -stdin)" >>"$new"
install --mode 600 "${mine[@]}" "$new" .secrets/proxy_users
