#!/usr/bin/env bash
# Runs a command with a private, throw-away Postgres and Redis on free ports; both are gone when it ends.
# The command finds them in SYNAXIS_TEST_DATABASE_URL and SYNAXIS_TEST_REDIS_URL. SYNAXIS_POSTGRES_OPTIONS are more
# options for Postgres.
#
# Example: scripts/servers.sh cargo nextest run quota
set -euo pipefail

binaries=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
binaries=${binaries:-$(dirname "$(command -v initdb)")}
redis=$(command -v redis-server || command -v valkey-server)

# Root cannot run Postgres, and the user who can may not reach the folder we stand in.
as_postgres=()
home=$(mktemp -d /var/tmp/synaxis-test-XXXXXX)
if [ "$(id -u)" -eq 0 ]; then
    as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups)
    chown postgres "$home"
fi

pids=()
command=
stop() {
    [ -z "$command" ] || kill "$command" 2>/dev/null || true
    # INT ends Postgres without waiting for clients that were cut short.
    for pid in "${pids[@]}"; do kill -INT "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$home"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

postgres_port=$(free_port)
redis_port=$(free_port)

(cd / && "${as_postgres[@]}" "$binaries/initdb" --username postgres --auth trust --encoding UTF8 --locale C.UTF-8 \
    --no-sync --no-instructions --pgdata "$home/postgres" >"$home/initdb.log" 2>&1) || {
    cat "$home/initdb.log" >&2
    exit 1
}
(cd / && exec "${as_postgres[@]}" "$binaries/postgres" -D "$home/postgres" -p "$postgres_port" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off ${SYNAXIS_POSTGRES_OPTIONS:-} >"$home/postgres.log" 2>&1) &
pids+=($!)
"$redis" --bind 127.0.0.1 --port "$redis_port" --save '' --appendonly no --maxmemory-policy noeviction \
    >"$home/redis.log" 2>&1 &
pids+=($!)

for _ in $(seq 200); do
    if (: <"/dev/tcp/127.0.0.1/$redis_port") 2>/dev/null \
        && "$binaries/pg_isready" -q -h 127.0.0.1 -p "$postgres_port"; then
        break
    fi
    sleep 0.05
done

export SYNAXIS_TEST_DATABASE_URL="postgres://postgres@127.0.0.1:$postgres_port/postgres"
export SYNAXIS_TEST_REDIS_URL="redis://127.0.0.1:$redis_port"
# In the background, so that a signal reaches us while it runs.
"$@" &
command=$!
code=0
wait "$command" || code=$?
command=
exit $code
