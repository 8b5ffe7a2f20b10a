#!/usr/bin/env bash
# Installs what some tests need and pip cannot install: a browser, Node.js, curl, openssl, proxies to
# stand before servers and clients, a server to be compared with, and the headers that the bench's
# load generator is built with.
#
# On Debian and Ubuntu as root the missing ones are installed. Elsewhere they are listed, and the
# tests that need them are left out; with CI=true anything missing is an error.
set -u

declare -A package=(
    [chromium]=chromium [node]=nodejs [npm]=npm [curl]=curl [openssl]=openssl [cc]=gcc
    [openssl/ssl.h]=libssl-dev [zlib.h]=zlib1g-dev [nginx]=nginx [haproxy]=haproxy
    [squid]=squid [tinyproxy]=tinyproxy [microsocks]=microsocks [danted]=dante-server
    [websocketd]=websocketd
)
# Where Debian has servers; not on everybody's PATH.
PATH=$PATH:/usr/sbin

have() {
    case $1 in
        chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
        *.h) echo "#include <$1>" | cc -E - ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

missing() {
    for tool in "${!package[@]}"; do
        have "$tool" || echo "$tool"
    done | sort
}

lacking=$(missing)
if [ -n "$lacking" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    packages=()
    for tool in $lacking; do packages+=("${package[$tool]}"); done
    echo "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # The tests start servers of their own: none of these shall run as a service of the system.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
    fi
    apt-get -qq update </dev/null &&
        apt-get -qq install -y --no-install-recommends "${packages[@]}" </dev/null >/dev/null
    lacking=$(missing)
fi
if [ -n "$lacking" ]; then
    # shellcheck disable=SC2086
    echo "not on this machine, and the tests that need it are left out:" $lacking
    if [ "${CI:-}" = true ]; then
        echo "CI=true: every tool must be there" >&2
        exit 1
    fi
fi
exit 0
