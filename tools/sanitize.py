"""Tests the compiled modules under AddressSanitizer and UndefinedBehaviorSanitizer (GCC, Linux).

A copy of the tree is built and tested in ``build/asan``, so that the modules in place stay as they
are. Python allocates with ``malloc`` there, so that every object is watched. Anything that a
sanitizer reports ends its process and fails the run; leaks are not looked for, since CPython keeps
what it interns until the end.

Usage: ``python -m tools.sanitize [PYTEST ARGUMENT ...]``, by default the tests of everything that
compiled code takes part in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.instrumented import ROOT, build, copy_tree

COPY = ROOT / "build" / "asan"
REPORTS = COPY / "reports"
LIBRARIES = ("libasan.so", "libubsan.so")
TESTS = (
    "tests/unit/wire",
    "tests/unit/protocol",
    "tests/unit/net",
    "tests/unit/base",
    "tests/unit/connection",
    "tests/unit/hub",
    "tests/unit/server",
    "tests/property/test_machine.py",
    "tests/property/test_upgrade.py",
    "tests/session",
    "tests/safety",
    "tests/badinput",
    "tests/fuzz",
)


def build_copy() -> None:
    """Build with both sanitizers; what is undefined ends its process as a wrong address does."""
    flags = "-fno-sanitize-recover=undefined"
    build(COPY, DUOLOGUE_SANITIZE="address,undefined", CFLAGS=flags)


def library(name: str) -> str:
    """Path of one of GCC's own libraries."""
    found = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_absolute():
        raise SystemExit(f"gcc has no {name}; on Debian it comes with gcc itself")
    return found


def run_tests(arguments: list[str]) -> int:
    """Run pytest in the copy; return its exit status."""
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir()
    options = f"abort_on_error=1:halt_on_error=1:log_path={REPORTS}/report"
    environment = os.environ | {
        "LD_PRELOAD": " ".join(library(name) for name in LIBRARIES),
        "ASAN_OPTIONS": f"detect_leaks=0:allocator_may_return_null=1:{options}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:{options}",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(COPY / "src"),
        "DUOLOGUE_SANITIZED": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    # It judges memory, of which the sanitizers take their own share.
    command += ["--ignore", "tests/badinput/test_floods.py"]
    command += ["-o", "timeout=600", "-n", "2", "--dist", "loadfile", "-m", "not slow"]
    return subprocess.run(command + arguments, cwd=COPY, env=environment).returncode


def main() -> int:
    """Copy, build, test; return 0 if nothing failed and nothing was reported."""
    copy_tree(COPY)
    build_copy()
    tests = sys.argv[1:] or [test for test in TESTS if (COPY / test).exists()]
    status = run_tests(tests)
    reports = sorted(REPORTS.iterdir())
    for report in reports:
        print(f"\n== {report.name}\n{report.read_text(errors='replace')[:20_000]}")
    print(f"\n{len(reports)} sanitizer reports")
    return 1 if reports else status


if __name__ == "__main__":
    sys.exit(main())
