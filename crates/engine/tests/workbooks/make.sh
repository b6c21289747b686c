#!/usr/bin/env bash
# Makes the workbooks beside this file once more, with the programs of other people, and what has to be read of them.
#
# Needs python3 (with venv) and npm; Debian's libreoffice-calc-nogui too, for the last of them. Installs once into
# ${XDG_CACHE_HOME:-~/.cache}/dataimporter/workbooks.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in python3 npm soffice; do
    command -v "$tool" >/dev/null || { echo "workbooks: $tool is needed and not installed" >&2; exit 1; }
done

# One installation for one set of pins; a half-made one has no stamp and is made again.
pins=$(cat "$here/requirements.txt" "$here/make.sh" | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dataimporter/workbooks/$pins
if [ ! -e "$cache/complete" ]; then
    rm -rf "$cache" && mkdir -p "$cache"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    npm install --silent --prefix "$cache" xlsx@0.18.5
    touch "$cache/complete"
fi
cd "$here"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$cache/venv/bin/python" make.py "$scratch/table.json"
node make.js "$cache/node_modules/xlsx" "$scratch/table.json"

# LibreOffice reads what another wrote, calculates its formulas and writes it in its own way.
saved() {
    soffice "-env:UserInstallation=file://$scratch/profile" --headless --convert-to "$2" --outdir "$scratch" "$1" >/dev/null
    local base=${1%.*}
    mv "$scratch/$base.$2" "$3.$2"
}
for kind in xlsx xls; do
    saved openpyxl.xlsx "$kind" libreoffice
    saved openpyxl-1904.xlsx "$kind" libreoffice-1904
done
saved odfpy.ods ods libreoffice
saved odfpy-odd.ods ods libreoffice-odd
