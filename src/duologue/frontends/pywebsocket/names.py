"""The names under which handlers import us: ``pywebsocket3`` and ``mod_pywebsocket``.

They are taken in the process that serves handlers, when it starts to; nothing of that name is
installed. What we don't have doesn't exist under these names either: a handler that asks for it
gets ``ModuleNotFoundError``, never half of another package.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType

__all__ = ["NAMES", "installed", "taken"]

NAMES = ("pywebsocket3", "mod_pywebsocket")

_HOME = "duologue.frontends.pywebsocket"

_MODULES = {
    "common": "common",
    "dispatch": "dispatch",
    "extensions": "extensions",
    "handshake": "handshake",
    "handshake.base": "handshake.base",
    "handshake.hybi": "handshake.hybi",
    "http_header_util": "http_header_util",
    "msgutil": "msgutil",
    "stream": "stream",
    "util": "util",
    "_stream_exceptions": "exceptions",
}


def installed() -> bool:
    """Tells whether a pywebsocket3 that isn't ours can be imported."""
    there = sys.modules.get("pywebsocket3")
    if there is not None:
        return getattr(there, "__spec__", None) is not None
    return importlib.util.find_spec("pywebsocket3") is not None


@contextlib.contextmanager
def taken() -> Iterator[None]:
    """Lets handlers import us by both names, until the end of the ``with`` block.

    Handlers that import only when they run need them as long as they are served.
    """
    modules = {name: importlib.import_module(f"{_HOME}.{ours}") for name, ours in _MODULES.items()}
    ours: dict[str, ModuleType] = {}
    for alias in NAMES:
        package = ModuleType(alias, f"{_HOME}, as handlers import it.")
        # A package, so that modules below it are looked for; there are no others.
        package.__path__ = []
        ours[alias] = package
        for name, module in modules.items():
            ours[f"{alias}.{name}"] = module
            if "." not in name:
                setattr(package, name, module)
    before = {
        name: module for name, module in sys.modules.items() if name.partition(".")[0] in NAMES
    }
    for name in before:
        del sys.modules[name]
    sys.modules.update(ours)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
            del sys.modules[name]
        sys.modules.update(before)
