"""Under which names handlers import us, and what they get."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest

from duologue.frontends.pywebsocket import exceptions, names


@pytest.mark.parametrize("package", names.NAMES)
def test_both_names_are_ours_for_a_while(package: str) -> None:
    before = sys.modules.get(package)
    with names.taken():
        for name in ("common", "msgutil", "handshake", "handshake.hybi", "stream", "util"):
            module = importlib.import_module(f"{package}.{name}")
            assert module is importlib.import_module(f"duologue.frontends.pywebsocket.{name}")
        assert importlib.import_module(package).msgutil.send_message
        for name in ("server", "options", "no_such"):
            with pytest.raises(ModuleNotFoundError):
                importlib.import_module(f"{package}.{name}")
    assert sys.modules.get(package) is before


def test_nothing_of_that_name_is_installed() -> None:
    for package in names.NAMES:
        found = importlib.util.find_spec(package)
        assert found is None or "duologue" not in str(found.origin)


BASES = """
import pywebsocket3.msgutil as msgutil, pywebsocket3.stream as stream
import pywebsocket3.handshake as handshake, pywebsocket3.dispatch as dispatch
from duologue.frontends.pywebsocket import exceptions as ours, names
for module in (msgutil, stream, handshake, dispatch):
    for name in ours.__all__:
        if hasattr(module, name):
            assert issubclass(getattr(ours, name), getattr(module, name)), name
assert ours.InvalidFrameException.__mro__.index(ours.ConnectionTerminatedException) == 1
assert ours.HandshakeException("x", 404).status == 404
assert ours.DispatchException("x").status == 404
assert ours.VersionException("x", "13").supported_versions == "13"
with names.taken():
    from pywebsocket3 import msgutil as taken
assert taken.InvalidFrameException is ours.InvalidFrameException
"""


@pytest.mark.skipif(importlib.util.find_spec("pywebsocket3") is None, reason="needs pywebsocket3")
def test_our_exceptions_are_those_of_an_installed_one() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", BASES], check=True)


def test_without_one_they_are_plain() -> None:
    hide = "import sys; sys.modules['pywebsocket3'] = None\n"
    check = (
        "from duologue.frontends.pywebsocket import exceptions as e\n"
        "assert e.BadOperationException.__mro__[1] is Exception\n"
        "assert e.InvalidFrameException.__mro__[1] is e.ConnectionTerminatedException\n"
        "assert e.HandshakeException('x', 404).status == 404\n"
    )
    subprocess.run([sys.executable, "-c", hide + check], check=True)


def test_each_has_its_place() -> None:
    assert issubclass(exceptions.InvalidFrameException, exceptions.ConnectionTerminatedException)
