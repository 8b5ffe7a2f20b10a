"""The version of the package; ``pyproject.toml`` reads it from here.

It must stay a plain literal: building the package reads this file without importing it.
"""

from __future__ import annotations

__all__ = ["commit", "released", "tag", "version"]

version = "0.1.0"
tag = version
commit = version
released = False
