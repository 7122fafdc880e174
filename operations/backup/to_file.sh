#!/usr/bin/env bash
# Runs a command and saves its output as a backup in backups/; the file gets its name when complete.
#
# Usage: to_file.sh COMMAND...
set -euo pipefail

umask 077
mkdir -p backups
# Left by runs that were killed.
find backups -name '*.part' -mmin +1440 -delete
file=backups/$(date -u +%Y-%m-%dT%H-%M-%SZ).tar.gz
set -o noclobber
: >"$file.part"
trap 'rm -f "$file.part"' EXIT
"$@" >>"$file.part"
sync "$file.part"
mv "$file.part" "$file"
sync backups
echo "$file: $(du -h "$file" | cut -f1); restore it by: make restore BACKUP=$file"
