#!/usr/bin/env bash
# Writes .sqlx/ anew: what the queries in the code come to in a database with every migration applied.
# Run it after a change of a query or a migration; the build refuses a query it does not find there.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${SYNAXIS_TEST_DATABASE_URL:-}" ]; then
    exec scripts/servers.sh "$0"
fi
for migration in migrations/*.sql; do
    psql "$SYNAXIS_TEST_DATABASE_URL" --quiet --single-transaction -v ON_ERROR_STOP=1 -f "$migration" >/dev/null
done
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
# The macros write while the crate compiles: make it compile.
touch src/lib.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$fresh" DATABASE_URL="$SYNAXIS_TEST_DATABASE_URL" \
    cargo check --locked --all-targets
mkdir -p .sqlx
rm -f .sqlx/*.json
cp "$fresh"/*.json .sqlx/
