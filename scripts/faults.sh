#!/usr/bin/env bash
# Plays the fault matrix: real proxies, a sidecar, Postgres, Redis and providers, broken on purpose; see
# docs/guides/faults.md. Ends with 1 when a case fails.
#
# Example: scripts/faults.sh F1 F11   SYNAXIS_BINARY names a binary to use instead of a release build.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${SYNAXIS_BINARY:-}" ]; then
    cargo build --release --locked
    SYNAXIS_BINARY=$PWD/target/release/synaxis
fi
export SYNAXIS_BINARY PYTHONPATH=$PWD/tests PYTHONDONTWRITEBYTECODE=1
exec python3 -m faults "$@"
