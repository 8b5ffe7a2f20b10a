#!/bin/sh
# Installs the npm packages that the interop tests talk to, at the versions of their lock file.
set -eu
cd "$(dirname "$0")/../tests/peers"
if ! command -v npm >/dev/null 2>&1; then
    echo "npm is missing: the tests against npm packages are left out"
    [ "${CI:-}" != true ]
    exit
fi
installed=node_modules/.package-lock.json
if [ -e "$installed" ] && [ "$installed" -nt package-lock.json ] && [ "$installed" -nt package.json ]; then
    exit 0
fi
npm ci --no-audit --no-fund --loglevel=error </dev/null
touch "$installed"
