#!/bin/sh
# Installs the peers that duologue is measured beside into .cache/bench, at their pinned versions,
# and compiles the generator. What cannot be installed is left out of the tables, with a note.
# usage: bench/install.sh [PYTHON]    the interpreter that duologue was built for
set -eu
cd "$(dirname "$0")"
cache=$PWD/../.cache/bench
python=${1:-../.venv/bin/python}
mkdir -p "$cache/node"

./build.sh

if [ ! "$cache/venv/.installed" -nt requirements.txt ]; then
    "$python" -m venv "$cache/venv"
    # One by one: a peer without a wheel for this platform must not keep the others away.
    grep -v '^#' requirements.txt | while read -r requirement; do
        "$cache/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            "$requirement" || echo "left out: $requirement"
    done
    touch "$cache/venv/.installed"
fi

if ! command -v npm >/dev/null 2>&1; then
    echo "left out: npm is missing, and with it bun, deno, ws and Socket.IO"
elif [ ! "$cache/node/.installed" -nt package.json ]; then
    cp package.json "$cache/node/"
    (cd "$cache/node" && npm install --no-audit --no-fund --loglevel=error </dev/null)
    touch "$cache/node/.installed"
fi
