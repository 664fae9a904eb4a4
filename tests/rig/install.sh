# shellcheck shell=bash
# Sourced by ./demo and ./check: installs the Debian packages named as arguments that are missing.

install_packages() {
    local missing=()
    if ! command -v dpkg-query >/dev/null; then
        echo "not a Debian system: please install what is needed yourself ($*)" >&2
        return 0
    fi
    mapfile -t missing < <(comm -23 <(printf '%s\n' "$@" | sort) <(
        dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
            sed -n 's/^installed //p' | sort -u))
    if [ ${#missing[@]} -gt 0 ]; then
        echo "installing: ${missing[*]}"
        without_services apt_install "${missing[@]}"
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
    as_root apt-get update -q &&
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "$@"
}

# Runs a command while packages may not start the servers they bring; we start our own. A policy
# that is already there is left alone. The parentheses make a subshell, for a trap of its own.
without_services() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    "$@"
)
