#!/usr/bin/env bash
# Makes the Parquet files beside this file once more, with the programs of other people, and what has to be read of them.
#
# Needs python3 (with venv). Installs once into ${XDG_CACHE_HOME:-~/.cache}/dataimporter/parquet.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v python3 >/dev/null || { echo "parquet: python3 is needed and not installed" >&2; exit 1; }

# One installation for one set of pins; a half-made one has no stamp and is made again.
pins=$(sha256sum < "$here/requirements.txt" | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dataimporter/parquet/$pins
if [ ! -e "$cache/complete" ]; then
    rm -rf "$cache" && mkdir -p "$cache"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    touch "$cache/complete"
fi
cd "$here"
"$cache/venv/bin/python" make.py
