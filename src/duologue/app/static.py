"""Which file of a directory a path names, and above all which it doesn't.

Pure but for looking at the file system. What it must never do is to leave the directory: no
``..``, no symbolic link that leads out of it, no file or directory whose name begins with a dot,
no separator hidden in percent signs. All of that is answered as if nothing were there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Found", "StaticFiles"]

INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to.

    Attributes:
        path: of the file.
        slash: whether it is the index of a directory that was named without a slash at its end.
    """

    path: str
    slash: bool = False


class StaticFiles:
    """A directory whose files may be read by everybody.

    Args:
        directory: where they are.

    Raises:
        NotADirectoryError: If it is none.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.path.realpath(directory)
        if not os.path.isdir(self.directory):
            raise NotADirectoryError(f"{os.fspath(directory)} is not a directory")

    def find(self, segments: list[str]) -> Found | None:
        """Look for a file.

        Args:
            segments: of the path below the directory, decoded; the last one is empty for a path
                that ends with a slash, and for the directory itself.

        Returns:
            What was found, ``None`` for nothing.
        """
        *above, last = segments
        if not all(_is_plain(segment) for segment in above) or not (last == "" or _is_plain(last)):
            return None
        path = os.path.join(self.directory, *above, last)
        try:
            real = os.path.realpath(path, strict=True)
        except (OSError, ValueError):
            return None
        if not self._is_inside(real):
            return None
        if os.path.isdir(real):
            index = os.path.realpath(os.path.join(real, INDEX))
            if self._is_inside(index) and os.path.isfile(index):
                return Found(index, slash=last != "")
            return None
        return Found(real) if last and os.path.isfile(real) else None

    def _is_inside(self, real: str) -> bool:
        if real == self.directory:
            return True
        if not real.startswith(os.path.join(self.directory, "")):
            return False
        # A link must not lead to what may not be named either.
        return not any(part.startswith(".") for part in Path(real[len(self.directory) + 1 :]).parts)


def _is_plain(segment: str) -> bool:
    if segment in ("", ".", "..") or segment.startswith("."):
        return False
    # A colon names a drive or a stream of a file on Windows.
    bad = "/\\\0:" if os.name == "nt" else "/\\\0"
    return not any(char in segment for char in bad)
