#!/usr/bin/env bash
# Measures whether an answer's time tells what its bytes do not: another organization's id against one nobody has. Prints
# the AUC of each operation; fails when one lies outside 0.45 to 0.55. Takes some minutes; needs no quiet machine.
set -euo pipefail
cd "$(dirname "$0")/.."

exec scripts/servers.sh cargo test --locked --test it -- --ignored --nocapture --exact \
    admin::sweep::timing::what_is_anothers_is_refused_as_fast_as_what_is_not_there
