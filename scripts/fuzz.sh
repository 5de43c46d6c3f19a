#!/usr/bin/env bash
# Lets schemathesis judge the admin API by its own document: no fault of ours, no undocumented answer, on every operation.
# Runs beside a throw-away `synaxis dev` of its own. What it installs goes under target/fuzz.
#
#   scripts/fuzz.sh                       about a minute
#   scripts/fuzz.sh --max-examples 200    longer; all arguments go to `schemathesis run`
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${SYNAXIS_DEV_JSON:-}" ]; then
    for rate in SIGN_INS_PER_ADDRESS_MINUTE SIGN_INS_PER_ACCOUNT_MINUTE REGISTRATIONS_PER_ADDRESS_HOUR \
        REGISTRATIONS_PER_ACCOUNT_HOUR RESETS_PER_ADDRESS_HOUR RESETS_PER_ACCOUNT_HOUR; do
        export "SYNAXIS__ADMIN__THROTTLE__$rate=100000"
    done
    exec scripts/dev.sh "$0" "$@"
fi

rooms=target/fuzz
[ -x $rooms/bin/python ] || python3 -m venv $rooms
$rooms/bin/pip install --quiet --disable-pip-version-check -r tests/fuzz/requirements.txt

told() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$SYNAXIS_DEV_JSON" "$1"; }
SYNAXIS_ADMIN_URL=$(told admin_url)
SYNAXIS__DATABASE__URL=$(told database_url)
SYNAXIS__SECURITY__SEALING_KEY=$(sed -n 's/.*"sealing_key": *"\([^"]*\)".*/\1/p' "$SYNAXIS_STATE_DIR"/*.json | head -1)
SYNAXIS_BINARY=$PWD/target/debug/synaxis
export SYNAXIS_ADMIN_URL SYNAXIS__DATABASE__URL SYNAXIS__SECURITY__SEALING_KEY SYNAXIS_BINARY
export SYNAXIS__ENVIRONMENT=development
organization=$(told organization_id)

PYTHONPATH=tests/fuzz $rooms/bin/python -c \
    "import hooks, sys; hooks.make_person(hooks.OWNER, '--platform-admin', '--organization', sys.argv[1])" "$organization"

config=$(mktemp)
trap 'rm -f "$config"' EXIT
cat >"$config" <<TOML
workers = ${WORKERS:-4}
request-timeout = 20.0
continue-on-failure = true
[parameters]
"path.organization_id" = "$organization"
[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 429, 431]
TOML
SCHEMATHESIS_HOOKS=tests/fuzz/hooks.py $rooms/bin/schemathesis --config-file "$config" run \
    --max-examples "${EXAMPLES:-15}" --seed 1 --warnings off "$@" "$SYNAXIS_ADMIN_URL/api/openapi.json"
