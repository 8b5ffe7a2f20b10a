"""Copies of the tree whose compiled modules are built with instruments; those in place stay."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("src", "tests", "chaos", "fuzz", "setup.py", "pyproject.toml", "README.md", "LICENSE")


def copy_tree(copy: Path) -> None:
    """Bring the copy up to date; what was built in it stays, so that only changes are built."""
    copy.mkdir(parents=True, exist_ok=True)
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "node_modules")
    for name in COPIED:
        source = ROOT / name
        if source.is_file():
            shutil.copy2(source, copy / name)
        elif source.exists():
            if name != "src":  # where the compiled modules lie
                shutil.rmtree(copy / name, ignore_errors=True)
            shutil.copytree(source, copy / name, ignore=ignored, dirs_exist_ok=True)


def build(copy: Path, **environment: str) -> None:
    """Build the copy's modules in place.

    Args:
        copy: where :func:`copy_tree` has put it.
        environment: variables for the compiler, such as ``CFLAGS``.
    """
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(command, cwd=copy, env=os.environ | environment, check=True)
