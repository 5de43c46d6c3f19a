#!/usr/bin/env bash
# Runs a command beside a throw-away `synaxis dev` of the debug build on free ports; all of it is gone when it ends.
# The command finds where everything is in dev.json: SYNAXIS_DEV_JSON names it, SYNAXIS_STATE_DIR its folder.
#
# Example: scripts/dev.sh sh -c 'curl -s "$(jq -r .admin_url "$SYNAXIS_DEV_JSON")/api/v1/version"'
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

cargo build --locked --quiet --manifest-path "$root/Cargo.toml"

state=$(mktemp -d /var/tmp/synaxis-dev-XXXXXX)
# The user who runs Postgres passes through here.
chmod 711 "$state"
pids=()
stop() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$state"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# `cargo run` becomes what it runs, so this is the pid of `synaxis dev`.
cargo run --locked --quiet --manifest-path "$root/Cargo.toml" -- dev --state-dir "$state" \
    --proxy-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 --metrics-addr 127.0.0.1:0 --admin-metrics-addr 127.0.0.1:0 \
    >"$state/panel.txt" 2>&1 &
dev=$!
pids=("$dev")
export SYNAXIS_STATE_DIR="$state" SYNAXIS_DEV_JSON="$state/dev.json"
for _ in $(seq 1200); do
    [ -e "$SYNAXIS_DEV_JSON" ] && break
    if ! kill -0 "$dev" 2>/dev/null; then
        cat "$state/panel.txt" >&2
        exit 1
    fi
    sleep 0.05
done

"$@" &
pids=("$!" "$dev")
code=0
wait "$!" || code=$?
if [ "$code" -ne 0 ]; then
    tail -n 40 "$state"/log/*.log >&2 || true
fi
exit $code
