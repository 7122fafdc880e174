#!/usr/bin/env bash
# Installs the proxy's certificate.
#
# Usage: certificate.sh NAME                 creates a self-signed one, so that the proxy can start
#        certificate.sh FULLCHAIN PRIVKEY    installs your own
#        certificate.sh                      installs certbot's, as its deploy hook
set -euo pipefail

case "$#" in
  0) set -- "${RENEWED_LINEAGE:?is set by certbot}/fullchain.pem" "$RENEWED_LINEAGE/privkey.pem" ;;
  1) ;;
  2) set -- "$(realpath "$1")" "$(realpath "$2")" ;;
  *) sed -n '4,6s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
cd "$(dirname "$0")/../.."

# The proxy runs as the person who runs make, but never as root (operations/containers/credentials.py).
owner=$(stat --format %u .)
[ "$owner" != 0 ] || owner=10001
if [ "$#" = 1 ]; then
  made=$(mktemp -d)
  trap 'rm -rf "$made"' EXIT
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -subj "/CN=$1" -addext "subjectAltName=DNS:$1,DNS:*.$1" \
    -keyout "$made/privkey.pem" -out "$made/fullchain.pem" 2>/dev/null
  set -- "$made/fullchain.pem" "$made/privkey.pem"
fi

openssl x509 -in "$1" -noout -checkend 0 >/dev/null || { echo "$1 is not a certificate, or has expired" >&2 && exit 1; }
[ "$(openssl x509 -in "$1" -noout -pubkey)" = "$(openssl pkey -in "$2" -pubout)" ] ||
  { echo "$1 and $2 do not belong together" >&2 && exit 1; }

mine=()
[ "$(id -u)" != 0 ] || mine=(--owner "$owner" --group "$owner")
install --directory --mode 700 "${mine[@]}" .secrets .secrets/tls
install --mode 600 "${mine[@]}" "$2" .secrets/tls/privkey.pem
install --mode 600 "${mine[@]}" "$1" .secrets/tls/fullchain.pem

# A running proxy reloads it without dropping connections.
proxy=$(docker ps --quiet --filter "label=com.docker.compose.project=${COMPOSE_PROJECT_NAME:-mlstack}" \
  --filter label=com.docker.compose.service=proxy 2>/dev/null) || true
[ -z "$proxy" ] || docker exec "$proxy" nginx -c /tmp/nginx.conf -s reload
