"""Builds the compiled modules; everything else of the project stands in pyproject.toml.

Environment:
    DUOLOGUE_DEBUG_BUILD=1       optimise little and keep debug information
    DUOLOGUE_SANITIZE=address    build with that sanitizer (GCC and Clang)
    DUOLOGUE_POLL=kqueue         on Linux: wait with kqueue, which libkqueue emulates and pkg-config
                                 must find; to test what macOS and the BSDs have
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# What needs epoll or kqueue; elsewhere asyncio's transports carry the links.
POLLED = {
    *("listener", "pipes", "poller", "records", "relay", "socket_link", "tls_link", "unix_stream")
}
EPOLL = sys.platform == "linux"
KQUEUE = sys.platform == "darwin" or "bsd" in sys.platform or sys.platform.startswith("dragonfly")
ROOT = Path(__file__).resolve().parent
SRC = ROOT / "src"
DEBUG = os.environ.get("DUOLOGUE_DEBUG_BUILD") == "1"
SANITIZE = os.environ.get("DUOLOGUE_SANITIZE", "")

compile_args: list[str] = []
link_args: list[str] = []
if os.environ.get("DUOLOGUE_POLL") == "kqueue" and EPOLL:
    found = ["pkg-config", "--cflags", "--libs", "libkqueue"]
    words = subprocess.run(found, check=True, capture_output=True, text=True).stdout.split()
    link_args += [word for word in words if word.startswith(("-L", "-l"))]
    compile_args += ["-DDUOLOGUE_KQUEUE", *(word for word in words if word not in link_args)]
if sys.platform != "win32":
    compile_args += ["-O1", "-g"] if DEBUG or SANITIZE else ["-O3", "-g0", "-fvisibility=hidden"]
    # Of what Cython writes, and of headers, no module uses everything.
    compile_args.append("-Wno-unused-function")
    if SANITIZE:
        compile_args += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer"]
        link_args += [f"-fsanitize={SANITIZE}"]


def relative(path: Path) -> str:
    """Return the path as setuptools wants it: relative to this file, with forward slashes."""
    return path.relative_to(ROOT).as_posix()


headers = sorted(SRC.rglob("*.h"))
extensions = [
    Extension(
        ".".join(path.relative_to(SRC).with_suffix("").parts),
        [relative(path)],
        include_dirs=sorted({relative(header.parent) for header in headers}),
        depends=[relative(header) for header in headers],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )
    for path in sorted(SRC.rglob("*.pyx"))
    if EPOLL or KQUEUE or path.stem not in POLLED
]

setup(
    ext_modules=cythonize(
        extensions,
        # The C files are made beside the objects, never beside the sources.
        build_dir="build/cython",
        include_path=["src"],
        compiler_directives={"language_level": 3, "embedsignature": True},
        nthreads=0 if sys.platform == "win32" else 2,
    )
)
