#!/bin/sh
# Creates the user that an image's containers run as, and the folders that it writes to.
#
# Usage: image_user.sh UID FOLDER...
#
# UID is that of the person who runs make, so that containers can read the files in .secrets.
set -eu
uid=$1
shift
groupadd --gid "$uid" mlstack
useradd --uid "$uid" --gid "$uid" --home-dir /tmp --no-create-home mlstack
[ $# = 0 ] || install -d -o "$uid" -g "$uid" "$@"
