"""Reads which modules a source tree imports, from Python and Cython files alike."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".py", ".pyi", ".pyx", ".pxd")

_CYTHON_FROM = re.compile(r"^\s*from\s+([\w.]+)\s+c?import\s+(.+)$")
_CYTHON_IMPORT = re.compile(r"^\s*c?import\s+(.+)$")


@dataclass(frozen=True)
class Import:
    """One import: the file and line it stands in, the two modules, whether only for types."""

    path: Path
    line: int
    importer: str
    target: str
    typing_only: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.importer} imports {self.target}"


def module_name(path: Path, source: Path) -> str:
    """Return the dotted name of the module that a file defines (or declares, or types)."""
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files(source: Path) -> list[Path]:
    """Return every file that can import, in order."""
    return sorted(path for path in source.rglob("*") if path.suffix in SUFFIXES)


@functools.cache
def imports(source: Path) -> list[Import]:
    """Return every import in a source tree, wherever it stands in its file.

    A name that is itself a module of the tree counts as that module: `from duologue.wire import
    frame` is an import of `duologue.wire.frame`.
    """
    paths = files(source)
    known = {module_name(path, source) for path in paths}
    found = []
    for path in paths:
        importer = module_name(path, source)
        read = _cython if path.suffix in (".pyx", ".pxd") else _python
        package = importer if path.stem == "__init__" else importer.rpartition(".")[0]
        text = path.read_text(encoding="utf-8")
        typing_only = _lines_for_types(text) if read is _python else set()
        for line, module, name in read(text, package):
            target = f"{module}.{name}" if f"{module}.{name}" in known else module
            found.append(Import(path, line, importer, target, line in typing_only))
    return found


def _lines_for_types(text: str) -> set[int]:
    return {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    }


def _python(text: str, package: str) -> Iterator[tuple[int, str, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*base, *([module] if module else [])])
            for alias in node.names:
                yield node.lineno, module, alias.name


def _cython(text: str, package: str) -> Iterator[tuple[int, str, str]]:
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        statement = line.split("#")[0]
        if match := _CYTHON_FROM.match(statement):
            module, names = match.groups()
            if "(" in names and ")" not in names:
                rest = "\n".join(lines[number:])
                names += re.sub(r"#.*", "", rest[: rest.index(")")]).replace("\n", " ")
            if module.startswith("."):
                level = len(module) - len(module.lstrip("."))
                base = package.split(".")[: len(package.split(".")) - level + 1]
                module = ".".join([*base, *filter(None, [module.lstrip(".")])])
            for name in names.strip("() ").split(","):
                if name.strip("() "):
                    yield number, module, name.strip("() ").split(" ")[0]
        elif match := _CYTHON_IMPORT.match(statement):
            for name in match.group(1).split(","):
                yield number, name.strip().split(" ")[0], ""


def circles(edges: set[tuple[str, str]]) -> list[list[str]]:
    """Return the circles of a graph, one for each group of nodes that reach each other."""
    following: dict[str, set[str]] = {}
    for start, end in edges:
        following.setdefault(start, set()).add(end)

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(following.get(start, ()))
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += following.get(node, ())
        return seen

    reach = {node: reachable(node) for node in following}
    groups = {
        tuple(sorted(other for other in seen if node in reach.get(other, ())))
        for node, seen in reach.items()
        if node in seen
    }
    return [list(group) for group in sorted(groups)]
