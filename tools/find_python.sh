#!/bin/sh
# Prints a CPython >= 3.11 that can make virtual environments and compile extensions.
# $PYTHON is taken when set. Says on standard error what is missing when there is none.
set -u

usable() {
    "$1" -c '
import importlib.util, os, sys, sysconfig
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not (
    sys.version_info >= (3, 11)
    and sys.implementation.name == "cpython"
    and os.path.exists(header)
    and importlib.util.find_spec("ensurepip")
))' >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" && { echo "$PYTHON"; exit 0; }
    echo "PYTHON=$PYTHON is not a CPython >= 3.11 with headers and ensurepip" >&2
    exit 1
fi
for candidate in python3 python3.14 python3.13 python3.12 python3.11 python \
    "${HOME:-/root}"/.pyenv/versions/3.1[1-9]*/bin/python; do
    usable "$candidate" && { command -v "$candidate"; exit 0; }
done
echo "No CPython >= 3.11 with headers and ensurepip was found." >&2
echo "On Debian or Ubuntu: apt-get install python3-dev python3-venv gcc" >&2
exit 1
