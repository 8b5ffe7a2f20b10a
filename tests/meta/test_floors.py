"""The house keeps its floors: a file imports from lower floors or from its own folder, no circles.

CONTRIBUTING.md shows the floors. The modules with the paths of `websockets` stand beside them; they
only pass names on.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .imports import Import, circles, files, imports, module_name

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = SOURCE / "duologue"

# Floor 6 has an order of its own: see docs/decisions/0015-app-above-asgi.md.
FLOORS: dict[str, float] = {
    "base": 0,
    "wire": 1,
    "protocol": 2,
    "net": 3,
    "connection": 4,
    "hub": 5,
    "client": 6,
    "server": 6,
    "asgi": 6.2,
    "app": 6.4,
    "frontends": 7,
    "cli": 8,
    "testing": 8,
}
# What stands beside the floors is for the floors above these: they use public names.
FACADE = 6.5
NO_FACADE = {"duologue.version": 0.0}  # a literal, which every floor may name
WITHOUT_IO = {"asyncio", "select", "selectors", "socket", "ssl", "threading"}


def folder(module: str) -> str | None:
    """Return the floor folder that a module of ours is in, None if it stands beside the floors."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else None


def floor(module: str) -> float:
    """Return how high a module of ours stands."""
    home = folder(module)
    return FLOORS[home] if home is not None else NO_FACADE.get(module, FACADE)


def breaches(found: list[Import]) -> list[str]:
    """Return every import that goes up, or sideways into another folder."""
    return [
        str(one)
        for one in found
        if one.target.split(".")[0] == "duologue"
        and (home := folder(one.importer)) is not None
        and folder(one.target) != home
        and floor(one.target) >= floor(one.importer)
    ]


def io_below_net(found: list[Import]) -> list[str]:
    """Return the imports by which a file below `net` would know about I/O."""
    return [
        str(one)
        for one in found
        if one.target.split(".")[0] in WITHOUT_IO
        and folder(one.importer) is not None
        and floor(one.importer) < FLOORS["net"]
    ]


def circles_inside(found: list[Import]) -> list[list[str]]:
    """Return the circles between the modules of one floor folder.

    Imports for type checkers only make none: they name what the other holds and are never run.
    """
    edges = {
        (one.importer, one.target)
        for one in found
        if folder(one.importer) is not None
        and folder(one.importer) == folder(one.target)
        and one.importer != one.target
        and not one.typing_only
    }
    return circles(edges)


def definitions(path: Path) -> list[str]:
    """Return what a facade defines itself, which should be nothing."""
    lines = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if not (docstring or names or isinstance(node, ast.Import | ast.ImportFrom)):
            lines.append(f"{path}:{node.lineno}: {ast.unparse(node).splitlines()[0]}")
    return lines


def test_imports_go_down() -> None:
    assert breaches(imports(SOURCE)) == []


def test_nothing_below_net_knows_io() -> None:
    assert io_below_net(imports(SOURCE)) == []


def test_net_knows_nothing_of_websocket() -> None:
    above_base = [
        str(one)
        for one in imports(SOURCE)
        if folder(one.importer) == "net" and folder(one.target) not in (None, "base", "net")
    ]
    assert above_base == []


def test_no_circles_inside_a_folder() -> None:
    assert circles_inside(imports(SOURCE)) == []


def test_every_folder_has_a_floor() -> None:
    # A new folder beside the floors may only hold facades; test_facades_define_nothing sees to it.
    homes = {folder(module_name(path, SOURCE)) for path in files(SOURCE)}
    assert {"base", "wire", "protocol", "net", "connection", "client", "server"} <= homes


def test_facades_define_nothing() -> None:
    exempt = {PACKAGE / "__init__.py", PACKAGE / "__main__.py", PACKAGE / "version.py"}
    facades = [
        path
        for path in files(SOURCE)
        if folder(module_name(path, SOURCE)) is None and path not in exempt
    ]
    assert PACKAGE / "exceptions.py" in facades
    assert [line for path in facades for line in definitions(path)] == []


# The checks themselves: each must find its kind of breach, in Python and in Cython.


def house(root: Path, contents: dict[str, str]) -> list[Import]:
    for name, text in contents.items():
        path = root / "duologue" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return imports(root)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wire/frame.py", "from duologue.net.link import Link"),
        ("wire/frame.py", "def f():\n    import duologue.net.link"),
        ("wire/frame.py", "from ..net import link"),
        ("wire/frame.py", "from duologue.exceptions import ProtocolError"),
        ("wire/frame.py", "import duologue"),
        ("client/a.py", "from duologue.server import b"),
        ("server/a.py", "from duologue.asgi import b"),
        ("asgi/a.py", "from duologue.app import b"),
        ("wire/octets.pyx", "from duologue.net.link cimport Link"),
        ("wire/octets.pxd", "cimport duologue.net.link"),
        ("base/a.pyx", "from duologue.wire.octets cimport (\n    f,\n    g,\n)"),
        ("base/a.pyi", "from duologue.wire.octets import f"),
        ("base/a.py", "if TYPE_CHECKING:\n    from duologue.wire.octets import f"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, name: str, text: str) -> None:
    found = house(
        tmp_path, {"net/link.py": "", "server/b.py": "", "wire/octets.pyi": "", name: text}
    )
    assert len(set(breaches(found))) >= 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("net/link.py", "from duologue.wire.frame import Frame"),
        ("wire/head.py", "from duologue.version import version"),
        ("wire/head.pyx", "# from duologue.net.link import Link\nfrom libc.string cimport memcpy"),
        ("frontends/echo.py", "from duologue.asyncio.server import serve"),
        ("wire/head.py", "from . import frame"),
    ],
)
def test_a_proper_import_passes(tmp_path: Path, name: str, text: str) -> None:
    assert breaches(house(tmp_path, {"wire/frame.py": "", name: text})) == []


def test_io_is_found(tmp_path: Path) -> None:
    found = house(tmp_path, {"protocol/a.pyx": "import asyncio", "net/b.py": "import asyncio"})
    assert len(io_below_net(found)) == 1


def test_a_circle_is_found(tmp_path: Path) -> None:
    found = house(
        tmp_path,
        {
            "wire/a.py": "from duologue.wire.b import x",
            "wire/b.pyx": "from duologue.wire cimport c",
            "wire/c.pxd": "",
            "wire/c.pyx": "def f():\n    from duologue.wire import a",
            "wire/d.py": "from duologue.wire import a",
            "net/e.py": "if TYPE_CHECKING:\n    from duologue.net import f",
            "net/f.py": "from duologue.net import e",
        },
    )
    assert circles_inside(found) == [["duologue.wire.a", "duologue.wire.b", "duologue.wire.c"]]


def test_a_definition_is_found(tmp_path: Path) -> None:
    path = tmp_path / "facade.py"
    path.write_text('"""Doc."""\nfrom a import b\n__all__ = ["b"]\ndef f(): ...\nx = 1\n')
    assert len(definitions(path)) == 2
