"""Compares each stub (.pyi) with the compiled module it describes, by mypy's stubtest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"


def main() -> int:
    """Run stubtest on every compiled module; return its exit status."""
    modules = [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for path in sorted(SOURCE.rglob("*.pyx"))
    ]
    allowed = Path(__file__).with_name("stubs_allowed.txt")
    config = SOURCE.parent / "pyproject.toml"
    # A stub leaves out what is not for others: the helpers that Cython makes visible at run time.
    options = ["--ignore-missing-stub"]
    options += ["--concise", "--ignore-disjoint-bases", "--mypy-config-file", str(config)]
    if allowed.exists():
        options += ["--allowlist", str(allowed), "--ignore-unused-allowlist"]
    return subprocess.run([sys.executable, "-m", "mypy.stubtest", *options, *modules]).returncode


if __name__ == "__main__":
    sys.exit(main())
