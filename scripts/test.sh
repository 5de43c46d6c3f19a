#!/usr/bin/env bash
# The whole test-suite: lints, tests against a private Postgres and Redis, real SDKs against a real `synaxis dev`.
# Needs no terminal; leaves no process and no service.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh test

step() { printf '\n== %s\n' "$*"; }

step "lint"
scripts/lint.sh

step "tests"
log=$(mktemp)
running=
# Runs a step so that a signal to us reaches it, and remembers what it says.
attend() {
    "$@" > >(tee -a "$log") 2>&1 &
    running=$!
    wait "$running" || failed=1
    running=
}
stop() {
    if [ -n "$running" ]; then
        kill "$running" 2>/dev/null || true
        wait "$running" || true
    fi
    rm -f "$log"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if command -v cargo-nextest >/dev/null 2>&1; then
    tests=(cargo nextest run --locked --no-fail-fast)
else
    tests=(cargo test --locked --no-fail-fast)
fi
failed=0
attend scripts/servers.sh "${tests[@]}"

if [ -x scripts/conformance.sh ]; then
    step "SDK conformance"
    attend scripts/dev.sh scripts/conformance.sh
fi

# Sums what each runner says of itself: nextest once, cargo test and the SDK suites once each.
colourless() { sed 's/\x1b\[[0-9;]*m//g' "$log"; }
count() { { colourless | grep -oE "[0-9]+ $1" | awk '{ sum += $1 } END { print sum + 0 }'; } || echo 0; }
printf '\n%s passed, %s failed\n' "$(count passed)" "$(count failed)"
exit $failed
