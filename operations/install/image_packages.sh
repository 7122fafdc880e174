#!/bin/sh
# Installs locks into /opt/venv of an image, and leaves nothing else behind.
#
# Usage: image_packages.sh NAME...
set -eu
export PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1
[ -e /opt/venv ] || python -m venv --without-pip /opt/venv
python -m venv /tmp/installer
for name; do
  set -- "$@" "requirements/$name.txt"
  shift
done
/tmp/installer/bin/python -m operations.install.packages --python /opt/venv/bin/python "$@"
# The libraries' own tests would be a tenth of the image.
cd /opt/venv/lib/python3*/site-packages
rm -rf /tmp/installer numpy/tests numpy/*/tests scipy/*/tests scipy/*/*/tests pandas/tests \
  sklearn/*/tests pyarrow/tests
