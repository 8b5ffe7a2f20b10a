"""What was entered before, kept in a file from one conversation to the next.

The file has one entry a line, as JSON, since an entry may have several lines; the newest is the
last. Only its owner may read it: people type tokens. An entry that begins with a space isn't kept.

Bounds: :data:`ENTRIES` entries of at most :data:`ENTRY_SIZE` characters. The file is cut down to
half of that number when a program that finds more starts, and only then; others may be appending.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["ENTRIES", "ENTRY_SIZE", "History", "location"]

ENTRIES = 2000
"""Entries the file may have when it is read; beyond that only the newer half stays."""

ENTRY_SIZE = 65536
"""Characters of an entry; a longer one isn't kept, it is likely to have been pasted."""


def location(environment: Mapping[str, str]) -> Path:
    """Returns where the history is kept.

    Args:
        environment: ``XDG_STATE_HOME`` says where programs keep such; if it isn't an absolute path
            it counts as missing, as the XDG Base Directory Specification has it.
    """
    state = environment.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return base / "duologue" / "history"


class History:
    """A history in a file.

    Args:
        path: The file. It and its folder are made when something is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> list[str]:
        """Returns the entries, oldest first; none if there is no file.

        Raises:
            OSError: If there is a file that can't be read.
        """
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        if len(lines) > ENTRIES:
            lines = lines[-ENTRIES // 2 :]
            self._replace(lines)
        return [entry for line in lines if (entry := _entry(line)) is not None]

    def add(self, entry: str) -> None:
        """Appends an entry.

        Args:
            entry: What was entered.

        Raises:
            OSError: If it can't be written.
        """
        if not entry.strip() or entry.startswith(" ") or len(entry) > ENTRY_SIZE:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        fd = os.open(self.path, flags, 0o600)
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(fd, 0o600)  # also if it was made by something else
            # One write, so that two programs' entries don't mix.
            os.write(fd, f"{json.dumps(entry)}\n".encode())
        finally:
            os.close(fd)

    def _replace(self, lines: list[str]) -> None:
        fd, name = tempfile.mkstemp(dir=self.path.parent, prefix="history.")  # mode 0600
        try:
            with open(fd, "w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
            os.replace(name, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise


def _entry(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, str) else None
