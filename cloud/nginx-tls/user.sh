#!/usr/bin/env bash
# Adds a user to the proxy's login, or changes a user's password.
#
# Usage: user.sh NAME     reads the password from the terminal, or from standard input
set -euo pipefail
[[ ${1:-} =~ ^[0-9A-Za-z][0-9A-Za-z.@_-]*$ ]] || { echo "usage: user.sh NAME (letters, digits and .@_-)" >&2 && exit 2; }
cd "$(dirname "$0")/../.."

[ ! -t 0 ] || printf 'Password for %s: ' "$1" >&2
IFS= read -rs password || [ -n "$password" ]
[ "${#password}" -ge 12 ] || { echo "the password needs at least 12 characters" >&2 && exit 1; }

owner=$(stat --format %u .)
mine=()
if [ "$(id -u)" = 0 ]; then
  [ "$owner" != 0 ] || owner=10001
  mine=(--owner "$owner" --group "$owner")
fi
# The proxy mounts the folder, because a mounted file would not follow the rename below.
users=.secrets/proxy/users
install --directory --mode 700 "${mine[@]}" .secrets .secrets/proxy
new=$(mktemp "$users.XXXXXX")
trap 'rm -f "$new"' EXIT
[ ! -e "$users" ] || awk -F: -v name="$1" '$1 != name""' "$users" >"$new"
hash=$(printf '%s' "$password" | openssl passwd -6 -stdin)
printf '%s:%s\n' "$1" "$hash" >>"$new"
[ "${#mine[@]}" = 0 ] || chown "${mine[1]}:${mine[3]}" "$new"
# A rename, so that the proxy always reads a complete list.
mv "$new" "$users"
