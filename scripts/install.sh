#!/usr/bin/env bash
# Installs what this machine lacks to build and run Synaxis, for `install.sh test` also what its tests need, for
# `install.sh faults` what the fault matrix needs.
# Says what it installs before it does it. Needs apt; works as root and with sudo. Starts and enables no service.
set -euo pipefail

has() { command -v "$1" >/dev/null 2>&1; }

has_postgres() {
    has initdb && has postgres && return
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

missing=()
need() { missing+=("$@"); }

has cc && has make || need build-essential
has cmake || need cmake
has pkg-config || need pkg-config
has redis-server || has valkey-server || need redis-server
has_postgres || need postgresql
if [ "${1:-run}" = test ]; then
    has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
    has node || need nodejs
    has npm || need npm
fi
if [ "${1:-run}" = faults ]; then
    has python3 || need python3
fi

if ! has cargo; then
    echo "Rust is missing: see https://rustup.rs (1.94 or newer)." >&2
    exit 1
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if ! has apt-get; then
    echo "This machine lacks: ${missing[*]}. Install them with its package manager; this script knows only apt." >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo; then
        echo "This machine lacks: ${missing[*]}. Run as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "Installing with apt: ${missing[*]}"

# The packages of servers would start a service and make a cluster; Synaxis wants only their binaries.
no_cluster=/etc/postgresql-common/createcluster.d/synaxis-install.conf
no_service=/usr/sbin/policy-rc.d
undo=()
restore() { [ ${#undo[@]} -eq 0 ] || "${as_root[@]}" rm -f "${undo[@]}"; }
trap restore EXIT
if [[ " ${missing[*]} " == *" postgresql "* ]]; then
    "${as_root[@]}" mkdir -p "$(dirname "$no_cluster")"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee "$no_cluster" >/dev/null
    undo+=("$no_cluster")
fi
if [ ! -e "$no_service" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$no_service" >/dev/null
    "${as_root[@]}" chmod +x "$no_service"
    undo+=("$no_service")
fi

"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"

# What was only just installed must not come up with the machine either.
if [ -d /run/systemd/system ]; then
    for package in "${missing[@]}"; do
        case $package in
        redis-server | postgresql) "${as_root[@]}" systemctl disable --quiet "$package" || true ;;
        esac
    done
fi
