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

# Sums what each runner says of itself at its end: nextest, or cargo test; the SDK suites.
sed 's/\x1b\[[0-9;]*m//g' "$log" | awk '
    function number(word) { return match($0, "[0-9]+ " word) ? substr($0, RSTART, RLENGTH) + 0 : 0 }
    /^ *Summary \[/ || /^test result:/ {
        passed += number("passed")
        failed += number("failed") + number("timed out")
    }
    /^[0-9]+ checks.* failed$/ {
        passed += number("checks") - number("failed")
        failed += number("failed")
    }
    END { printf "\n%d passed, %d failed\n", passed, failed }'
exit $failed
