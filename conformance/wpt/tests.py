"""Reads web-platform-tests: which tests a file has, and what scripts they are made of.

Knows the tests' conventions (``// META:`` lines, variants, ``.sub.`` files) and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_META = re.compile(r"^//\s*META:\s*(\w+)=(.*)$", re.MULTILINE)
_HTML_META = re.compile(r'<meta\s+name="?(\w+)"?\s+content="?([^">]*)"?', re.IGNORECASE)
_SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.IGNORECASE | re.DOTALL)
_SOURCE = re.compile(r"""\bsrc\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""")
_FIELD = re.compile(r"\{\{([^}]+)\}\}")

# What the runner loads itself.
_HARNESS = ("/resources/testharness.js", "/resources/testharnessreport.js")


@dataclass
class Test:
    """A file in one of its variants.

    Attributes:
        path: of the file, below the directory of all tests.
        variant: query of its address, with the question mark, or empty.
        slow: whether it may take long.
        scripts: names and texts.
    """

    path: str
    variant: str
    slow: bool
    scripts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Path and variant."""
        return self.path + self.variant


def find_tests(root: Path, below: str, fields: Mapping[str, str]) -> Iterator[Test]:
    """Find the tests in a directory.

    Args:
        root: directory of all tests.
        below: which of them, relative to it.
        fields: what stands for ``{{...}}`` in ``.sub.`` files.
    """
    for file in sorted((root / below).rglob("*")):
        path = file.relative_to(root).as_posix()
        if "/resources/" in path or "/support/" in path or not file.is_file():
            continue
        if path.endswith((".any.js", ".window.js", ".worker.js")):
            yield from _read(root, path, _META, fields)
        elif path.endswith((".html", ".htm")) and "testharness.js" in _text(file):
            yield from _read(root, path, _HTML_META, fields)


def _read(
    root: Path, path: str, meta: re.Pattern[str], fields: Mapping[str, str]
) -> Iterator[Test]:
    text = _text(root / path)
    found = [(name.lower(), value.strip()) for name, value in meta.findall(text)]
    slow = ("timeout", "long") in found
    variants = [value for name, value in found if name == "variant"] or [""]
    if meta is _META:
        sources = [(value, "") for name, value in found if name == "script"] + [("", text)]
    else:
        sources = [_split(*script) for script in _SCRIPT.findall(text)]
    for variant in variants:
        test = Test(path, "" if variant == "?default" else variant, slow)
        for source, inline in sources:
            if not source:
                test.scripts.append((path, _fill(path, inline, fields)))
            else:
                test.scripts.append((source, load_script(root, path, fields, source)))
        yield test


def _text(file: Path) -> str:
    """Read a file; a few say in which other encoding they are."""
    octets = file.read_bytes()
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("windows-1252")


def _split(attributes: str, inline: str) -> tuple[str, str]:
    found = _SOURCE.search(attributes)
    return (next(filter(None, found.groups())), "") if found else ("", inline)


def load_script(root: Path, path: str, fields: Mapping[str, str], source: str) -> str:
    """Return the text of a script.

    Args:
        root: directory of all tests.
        path: of the test that wants it.
        fields: as in :func:`find_tests`.
        source: its address, relative to the test.
    """
    if source in _HARNESS:
        return ""
    source = source.partition("?")[0]
    file = root / source[1:] if source.startswith("/") else (root / path).parent / source
    if not file.exists():
        return f"throw new Error({f'no such file: {source}'!r});"
    return _fill(file.name, _text(file), fields)


def _fill(name: str, text: str, fields: Mapping[str, str]) -> str:
    if ".sub." not in name:
        return text
    return _FIELD.sub(lambda found: fields.get(found.group(1), found.group(0)), text)
