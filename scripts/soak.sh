#!/usr/bin/env bash
# Fills a private Postgres with ten million calls and asks a running `synaxis admin` every list and report over them.
# Prints p50 and p99 of each; fails when a p99 is above 100 ms. Needs about 20 GB of disk and some minutes.
#
# SOAK_CALLS and SOAK_DAYS say how many; SYNAXIS_BINARY names a binary to use instead of a release build.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" != inside ]; then
    if [ -z "${SYNAXIS_BINARY:-}" ]; then
        cargo build --release --locked
        SYNAXIS_BINARY=$PWD/target/release/synaxis
    fi
    export SYNAXIS_BINARY
    # What a small server gives Postgres; without it the default of 128 MB is what is measured.
    export SYNAXIS_POSTGRES_OPTIONS="-c shared_buffers=2GB -c work_mem=32MB -c maintenance_work_mem=512MB -c max_wal_size=1GB"
    exec scripts/servers.sh scripts/soak.sh inside
fi

home=$(mktemp -d)
admin=
stop() {
    [ -z "$admin" ] || kill "$admin" 2>/dev/null || true
    rm -rf "$home"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

psql=(psql --no-psqlrc --quiet --set ON_ERROR_STOP=1)
server=${SYNAXIS_TEST_DATABASE_URL%/*}
"${psql[@]}" "$server/postgres" --command 'create database soak'
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
operations=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export SYNAXIS__ENVIRONMENT=development
export SYNAXIS__DATABASE__URL=$server/soak
export SYNAXIS__REDIS__URL=$SYNAXIS_TEST_REDIS_URL
export SYNAXIS__SECURITY__SEALING_KEY=nobody-keeps-anything-secret-here
export SYNAXIS__ADMIN__LISTEN=127.0.0.1:$port
export SYNAXIS__ADMIN__OPERATIONS_LISTEN=127.0.0.1:$operations
export SYNAXIS__MAIL__FOLDER=$home/mail
cd "$home"
script() { printf '%s/scripts/soak/%s' "$OLDPWD" "$1"; }

"$SYNAXIS_BINARY" migrate >/dev/null
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
organization=$("$SYNAXIS_BINARY" orgs create --name Soak --unlimited --json | field id)
password='every drop counts in the end'
owner=$(printf '%s' "$password" | "$SYNAXIS_BINARY" users create --email owner@soak.example --password-stdin \
    --platform-admin --organization "$organization" --json | field id)

calls=${SOAK_CALLS:-10000000}
days=${SOAK_DAYS:-90}
echo "booking $calls calls of $days days"
time "${psql[@]}" "$server/soak" --set organization="$organization" --set owner="$owner" --set calls="$calls" --set days="$days" \
    --file "$(script fill.sql)"
"${psql[@]}" "$server/soak" --command "
    select count(*) as calls, pg_size_pretty(pg_database_size(current_database())) as on_disk from operations.usage_entries"
faults=$("${psql[@]}" "$server/soak" --tuples-only --no-align --command "
    select count(*) from operations.usage_faults(date_trunc('day', now() - interval '9 days', 'UTC'), date_trunc('day', now() - interval '8 days', 'UTC'))")
[ "$faults" = 0 ] || { echo "the roll-ups say something else than their entries: $faults"; exit 1; }

"$SYNAXIS_BINARY" admin >admin.log 2>&1 &
admin=$!
for _ in $(seq 200); do
    curl --silent --fail "http://127.0.0.1:$operations/readyz" >/dev/null && break
    sleep 0.1
done
python3 "$(script ask.py)" "http://127.0.0.1:$port" owner@soak.example "$password" "$organization"
