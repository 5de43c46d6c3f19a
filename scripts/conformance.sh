#!/usr/bin/env bash
# Lets unmodified clients (Python: openai, langchain-openai, anthropic; Node: openai) judge a running gateway.
#
#   scripts/conformance.sh               the gateway of `make dev` (.synaxis/dev.json), or the one named by
#                                        SYNAXIS_BASE_URL (with /v1), SYNAXIS_API_KEY and SYNAXIS_MODEL
#   scripts/conformance.sh --simulator   the simulated provider alone, started for the purpose
#
# Also read: SYNAXIS_EMBEDDING_MODEL, SYNAXIS_ANTHROPIC_MODEL, SYNAXIS_LIMITED_KEY, SYNAXIS_STATE_DIR.
# What it installs goes under target/conformance.
set -euo pipefail
cd "$(dirname "$0")/.."

rooms=target/conformance
started=()

stop_started() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
}
trap stop_started EXIT

# Starts a simulated provider on a free port and prints its address.
simulate() {
    local told
    told=$(mktemp)
    target/debug/synaxis simulate --listen 127.0.0.1:0 --models sim-small "$@" >"$told" &
    started+=($!)
    for _ in $(seq 100); do
        address=$(sed -n 's/.* serves //p' "$told")
        [[ -n $address ]] && break
        sleep 0.05
    done
    rm -f "$told"
    [[ -n $address ]] || { echo "the simulated provider did not start" >&2; exit 1; }
}

use_simulator() {
    cargo build --quiet --bin synaxis
    simulate --require-key sk-conformance-0123
    export SYNAXIS_BASE_URL=$address SYNAXIS_API_KEY=sk-conformance-0123
    export SYNAXIS_MODEL=sim-small SYNAXIS_ANTHROPIC_MODEL=sim-small SYNAXIS_DIRECT=1
    simulate --rpm 3
    export SYNAXIS_LIMITED_BASE_URL=$address
}

# Reads one value of dev.json by its path.
told_by_dev() {
    python3 -c 'import functools, json, sys
print(functools.reduce(lambda value, name: value[name], sys.argv[2].split("."), json.load(open(sys.argv[1]))))' \
        "${SYNAXIS_STATE_DIR:-.synaxis}/dev.json" "$1"
}

use_dev() {
    SYNAXIS_BASE_URL=$(told_by_dev proxy_url)/v1
    SYNAXIS_API_KEY=$(told_by_dev api_key)
    SYNAXIS_MODEL=$(told_by_dev models.free)
    SYNAXIS_ANTHROPIC_MODEL=${SYNAXIS_ANTHROPIC_MODEL:-$SYNAXIS_MODEL}
    SYNAXIS_EMBEDDING_MODEL=${SYNAXIS_EMBEDDING_MODEL:-$SYNAXIS_MODEL}
    SYNAXIS_LIMITED_KEY=${SYNAXIS_LIMITED_KEY:-$(limited_key)}
    export SYNAXIS_BASE_URL SYNAXIS_API_KEY SYNAXIS_MODEL SYNAXIS_ANTHROPIC_MODEL
    export SYNAXIS_EMBEDDING_MODEL SYNAXIS_LIMITED_KEY
}

# Makes a key that is refused after a few calls.
limited_key() {
    SYNAXIS__DATABASE__URL=$(told_by_dev database_url) cargo run --quiet --bin synaxis -- keys create \
        --organization "$(told_by_dev organization_id)" --name conformance --rpm 3 --json \
        | python3 -c 'import json, sys; print(json.load(sys.stdin)["api_key"])'
}

python_clients() {
    [[ -x $rooms/python/bin/python ]] || python3 -m venv "$rooms/python"
    "$rooms/python/bin/pip" install --quiet --disable-pip-version-check -r tests/conformance/python/requirements.txt \
        || { echo "  skipped: the Python clients cannot be installed"; return; }
    SYNAXIS_LIMITED_KEY=${SYNAXIS_LIMITED_KEY:-${SYNAXIS_DIRECT:+python}} PYTHONDONTWRITEBYTECODE=1 \
        "$rooms/python/bin/python" tests/conformance/python/run.py
}

node_clients() {
    mkdir -p "$rooms/node"
    cp tests/conformance/node/* "$rooms/node/"
    timeout 180 npm install --prefix "$rooms/node" --no-audit --no-fund --silent --fetch-retries=1 \
        || { echo "  skipped: the Node client cannot be installed"; return; }
    # Each client has a window of its own at the simulated provider.
    if [[ -z ${SYNAXIS_LIMITED_KEY:-} && -n ${SYNAXIS_DIRECT:-} ]]; then export SYNAXIS_LIMITED_KEY=node; fi
    node "$rooms/node/run.js"
}

case ${1:-} in
    --simulator) use_simulator ;;
    "") [[ -n ${SYNAXIS_BASE_URL:-} ]] || use_dev ;;
    *) echo "usage: scripts/conformance.sh [--simulator]" >&2; exit 64 ;;
esac

mkdir -p "$rooms"
failed=0
echo "Python against $SYNAXIS_BASE_URL"
python_clients || failed=1
echo "Node against $SYNAXIS_BASE_URL"
if command -v node >/dev/null && command -v npm >/dev/null; then
    node_clients || failed=1
else
    echo "  skipped: node and npm are not installed"
fi
exit "$failed"
