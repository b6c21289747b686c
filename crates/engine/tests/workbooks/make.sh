#!/usr/bin/env bash
# Makes the workbooks beside this file once more, with the programs of other people, and what has to be read of them.
#
# Needs python3 (with venv); Debian's libreoffice-calc-nogui too, for the last of them. Installs once into
# ${XDG_CACHE_HOME:-~/.cache}/dataimporter/workbooks.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in python3 soffice; do
    command -v "$tool" >/dev/null || { echo "workbooks: $tool is needed and not installed" >&2; exit 1; }
done

# One installation for one set of pins; a half-made one has no stamp and is made again.
pins=$(sha256sum < "$here/requirements.txt" | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dataimporter/workbooks/$pins
if [ ! -e "$cache/complete" ]; then
    rm -rf "$cache" && mkdir -p "$cache"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    touch "$cache/complete"
fi
cd "$here"
"$cache/venv/bin/python" make.py

# LibreOffice reads what openpyxl wrote, calculates its formulas and writes it in its own way.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
saved() {
    soffice "-env:UserInstallation=file://$scratch/profile" --headless --convert-to "$2" --outdir "$scratch" "$1.xlsx" >/dev/null
    mv "$scratch/$1.$2" "$3.$2"
}
for kind in xlsx xls; do
    saved openpyxl "$kind" libreoffice
    saved openpyxl-1904 "$kind" libreoffice-1904
done
