#!/usr/bin/env bash
# Installs jsforce, simple-salesforce and the sf command line, unchanged from their registries, and prints the folder they are in.
#
# Needs python3 (with venv) and npm. Installs once into ${XDG_CACHE_HOME:-~/.cache}/dataimporter/clients.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in python3 npm; do
    command -v "$tool" >/dev/null || { echo "clients: $tool is needed and not installed" >&2; exit 1; }
done

# One installation for one set of pins; a half-made one has no stamp and is made again.
pins=$(cat "$here/requirements.txt" "$here/package-lock.json" | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dataimporter/clients/$pins
if [ ! -e "$cache/complete" ]; then
    echo "clients: installing into $cache" >&2
    rm -rf "$cache" && mkdir -p "$cache"
    {
        python3 -m venv "$cache/venv"
        "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
        cp "$here/package.json" "$here/package-lock.json" "$cache/"
        (cd "$cache" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
    } >&2
    touch "$cache/complete"
fi
echo "$cache"
