"""Whoever comes from `websockets` finds every name at its place, taking the same parameters.

Left out are the trio and legacy APIs and the command line.
Every other deviation stands in one of the tables below with its reason.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import websockets

import duologue

MODULES = [
    "asyncio",
    "asyncio.client",
    "asyncio.connection",
    "asyncio.router",
    "asyncio.server",
    "client",
    "datastructures",
    "exceptions",
    "extensions",
    "extensions.base",
    "extensions.permessage_deflate",
    "frames",
    "headers",
    "http11",
    "protocol",
    "proxy",
    "server",
    "sync",
    "sync.client",
    "sync.connection",
    "sync.router",
    "sync.server",
    "typing",
    "uri",
    "version",
]

# Names that `__all__` leaves out but that the documentation of `websockets` or common use has.
UNLISTED = {
    "client": ["backoff", "process_exception"],
    "asyncio.client": ["process_exception"],
    "asyncio.connection": ["broadcast"],
    "sync.connection": ["broadcast"],
    "extensions.permessage_deflate": [],
    "frames": [
        "CONT", "TEXT", "BINARY", "CLOSE", "PING", "PONG", "DATA_OPCODES", "CTRL_OPCODES",
        "CLOSE_CODE_EXPLANATIONS", "EXTERNAL_CLOSE_CODES", "OK_CLOSE_CODES",
    ],
    "protocol": ["SERVER", "CLIENT", "CONNECTING", "OPEN", "CLOSING", "CLOSED", "Event"],
    "typing": [
        "BytesLike", "DataLike", "PathLike", "ExtensionHeader", "ConnectionOption",
        "UpgradeProtocol",
    ],
}  # fmt: skip

# Public methods and attributes of classes that have no counterpart, and why.
MEMBERS_WITHOUT_COUNTERPART = {
    "Request.parse": "reads from generators; RequestParser takes octets instead",
    "Request.exception": "deprecated there since 10.3",
    "Response.parse": "reads from generators; ResponseParser takes octets instead",
    "Response.exception": "deprecated there since 10.3",
    "Frame.parse": "reads from generators; the compiled machine reads frames",
    "Frame.DEFAULT_IS_TEXT": "internal: how frames are logged",
    "Protocol.parse": "internal: the generator that reads frames",
    "Protocol.discard": "internal: the generator that ignores input",
    "Protocol.recv_frame": "internal: called by the generator",
    "Protocol.send_frame": "internal: called by the send methods",
    "connect.open_tcp_connection": "internal: net dials",
    "reconnect.open_socket": "internal: net dials",
    "reconnect.open_connection": "internal: net dials",
    "reconnect.enable_tls": "internal: net does TLS",
    "Server.SHUTDOWN_POLLING_INTERVAL": "nothing is polled",
}

# asyncio.Protocol's callbacks and what serves them: the connection isn't an asyncio protocol here.
TRANSPORT_CALLBACKS = {
    "connection_made", "connection_lost", "pause_writing", "resume_writing", "data_received",
    "eof_received",
}  # fmt: skip
INTERNAL_OF_CONNECTION = {
    "process_event", "acknowledge_pings", "abort_pings", "keepalive", "start_keepalive",
    "send_context", "send_data", "set_recv_exc", "set_connection_exc", "handshake", "drain",
    "terminate_pending_pings", "close_socket", "recv_events", "recv_bufsize",
    "maybe_raise_legacy_warning",
}  # fmt: skip
for _owner in ("ClientProtocol", "ServerProtocol"):
    for _name in ("parse", "discard", "recv_frame", "send_frame"):
        MEMBERS_WITHOUT_COUNTERPART[f"{_owner}.{_name}"] = "internal: see Protocol"
for _owner in ("Connection", "ClientConnection", "ServerConnection"):
    for _name in TRANSPORT_CALLBACKS:
        MEMBERS_WITHOUT_COUNTERPART[f"{_owner}.{_name}"] = "callback of asyncio.Protocol"
    for _name in INTERNAL_OF_CONNECTION:
        MEMBERS_WITHOUT_COUNTERPART[f"{_owner}.{_name}"] = "undocumented there"

# Signatures that differ, and why. Parameters that exist on both sides keep their names.
SIGNATURES = {
    "Connection": "made by connect and serve only",
    "ClientConnection": "made by connect only",
    "ServerConnection": "made by serve only",
    "Server": "made by serve only",
    "InvalidState": "takes what AssertionError takes, on both sides",
    "ConcurrencyError": "takes what RuntimeError takes, on both sides",
    "MultipleValuesError": "takes what LookupError takes, on both sides",
}


def module_pair(path: str) -> tuple[ModuleType, ModuleType]:
    return importlib.import_module(f"websockets.{path}"), importlib.import_module(
        f"duologue.{path}"
    )


def listed(path: str) -> list[str]:
    theirs = importlib.import_module(f"websockets.{path}")
    return [*getattr(theirs, "__all__", []), *UNLISTED.get(path, [])]


NAMES = [(path, name) for path in MODULES for name in listed(path)]


@pytest.mark.parametrize("path", MODULES)
def test_module(path: str) -> None:
    _, ours = module_pair(path)
    assert ours.__doc__
    if hasattr(ours, "__all__"):
        assert all(hasattr(ours, name) for name in ours.__all__)


@pytest.mark.parametrize(("path", "name"), NAMES)
def test_name(path: str, name: str) -> None:
    theirs, ours = module_pair(path)
    mine, other = getattr(ours, name), getattr(theirs, name)
    assert inspect.isclass(mine) == inspect.isclass(other)
    assert callable(mine) == callable(other)
    if path not in ("extensions",) and hasattr(theirs, "__all__") and name in theirs.__all__:
        assert name in ours.__all__


def test_top_level() -> None:
    missing = [name for name in websockets.__all__ if name not in duologue.__all__]
    assert missing == []
    for name in duologue.__all__:
        assert getattr(duologue, name) is not None


@pytest.mark.parametrize("name", websockets.__all__)
def test_top_level_names_are_those_of_the_modules(name: str) -> None:
    home = getattr(websockets, name)
    path = next(path for path in MODULES if name in getattr(module_pair(path)[0], "__all__", []))
    assert getattr(module_pair(path)[0], name) is home
    assert getattr(duologue, name) is getattr(module_pair(path)[1], name)


def parameters(function: Any) -> dict[str, inspect.Parameter] | None:
    try:
        return dict(inspect.signature(function).parameters)
    except (ValueError, SyntaxError):
        return compiled_parameters(function)


def compiled_parameters(function: Any) -> dict[str, inspect.Parameter] | None:
    """Read the signature of something compiled from the stub beside it, which stubtest checks."""
    owner = function if inspect.isclass(function) else function.__objclass__
    member = "__init__" if inspect.isclass(function) else function.__name__
    for cls in owner.__mro__:
        module = importlib.import_module(cls.__module__)
        stub = Path(str(module.__file__).partition(".")[0]).with_suffix(".pyi")
        if not stub.exists():
            continue
        for node in ast.walk(ast.parse(stub.read_text())):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name == member:
                        return stub_parameters(method, bound=inspect.isclass(function))
    return None


def stub_parameters(method: ast.FunctionDef, bound: bool) -> dict[str, inspect.Parameter]:
    scope: dict[str, Any] = {}
    source = f"from __future__ import annotations\ndef function({ast.unparse(method.args)}): ..."
    exec(source, scope)
    found = dict(inspect.signature(scope["function"]).parameters)
    if bound:
        found.pop("self")
    return found


def check_signature(where: str, mine: Any, other: Any) -> None:
    if where in SIGNATURES or (inspect.isclass(other) and other.__init__ is Exception.__init__):
        return
    wanted, have = parameters(other), parameters(mine)
    assert wanted is not None
    assert have is not None, f"{where} has no signature"
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in have.values())
    wanted = {name: p for name, p in wanted.items() if not name.startswith("_")}
    positional = [name for name, p in wanted.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    mine_positional = [
        name
        for name, p in have.items()
        # A method written in C has its self by position only.
        if p.kind is p.POSITIONAL_OR_KEYWORD or (name == "self" and p.kind is p.POSITIONAL_ONLY)
    ]
    assert mine_positional[: len(positional)] == positional, where
    named = [name for name, p in wanted.items() if p.kind is p.KEYWORD_ONLY]
    missing = [name for name in named if name not in have]
    assert not missing or open_ended, f"{where} lacks {missing}"
    for name, parameter in have.items():
        if name not in wanted and not open_ended:
            assert parameter.default is not parameter.empty or parameter.kind in (
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            ), f"{where} needs {name}"


CALLABLES = [
    (path, name)
    for path, name in NAMES
    if callable(getattr(importlib.import_module(f"websockets.{path}"), name))
    and path not in ("typing", "datastructures")
] + [("datastructures", "Headers"), ("datastructures", "MultipleValuesError")]


@pytest.mark.parametrize(("path", "name"), CALLABLES)
def test_signature(path: str, name: str) -> None:
    theirs, ours = module_pair(path)
    mine, other = getattr(ours, name), getattr(theirs, name)
    if "enum" not in type(other).__module__:
        check_signature(name, mine, other)


CLASSES = sorted(
    {
        (path, name)
        for path, name in CALLABLES
        if inspect.isclass(getattr(importlib.import_module(f"websockets.{path}"), name))
    }
)


@pytest.mark.parametrize(("path", "name"), CLASSES)
def test_members(path: str, name: str) -> None:
    theirs, ours = module_pair(path)
    mine, other = getattr(ours, name), getattr(theirs, name)
    for member in dir(other):
        where = f"{name}.{member}"
        if member.startswith("_") or where in MEMBERS_WITHOUT_COUNTERPART:
            continue
        if member in dir(object) or hasattr(BaseException, member):
            continue
        assert hasattr(mine, member), f"{where} is missing"
        attribute = getattr(other, member)
        if inspect.isfunction(attribute):
            check_signature(where, getattr(mine, member), attribute)


ENUMS = [("frames", "Opcode"), ("frames", "CloseCode"), ("protocol", "Side"), ("protocol", "State")]


@pytest.mark.parametrize(("path", "name"), ENUMS)
def test_enum_members(path: str, name: str) -> None:
    theirs, ours = module_pair(path)
    mine, other = getattr(ours, name), getattr(theirs, name)
    assert {member.name: member.value for member in mine} == {
        member.name: member.value for member in other
    }


def test_exception_tree() -> None:
    theirs, ours = module_pair("exceptions")
    for name in theirs.__all__:
        mine, other = getattr(ours, name), getattr(theirs, name)
        tree = [cls.__name__ for cls in other.__mro__ if cls is not object]
        assert [cls.__name__ for cls in mine.__mro__ if cls is not object] == tree


def test_exceptions_to_the_rule_are_still_needed() -> None:
    """A deviation that was mended must leave the table."""
    owners: dict[str, list[Any]] = {}
    for path, name in CLASSES:
        owners.setdefault(name, []).append(module_pair(path))
    for where in MEMBERS_WITHOUT_COUNTERPART:
        owner, _, member = where.partition(".")
        pairs = owners[owner]
        if member in TRANSPORT_CALLBACKS | INTERNAL_OF_CONNECTION:
            continue
        assert any(hasattr(getattr(theirs, owner), member) for theirs, _ in pairs), where
        assert not any(hasattr(getattr(ours, owner), member) for _, ours in pairs), where


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        duologue.nonsense  # noqa: B018
    assert {"connect", "serve", "protocol", "Limits"} <= set(dir(duologue))


def test_version() -> None:
    from duologue.version import version

    assert duologue.__version__ == version == "0.1.0"


IMPORT = """
import sys
before = set(sys.modules)
import duologue
{use}
heavy = {{"asyncio", "ssl", "httptools", "zlib_ng", "email", "http"}}
print(sorted(heavy & (set(sys.modules) - before)))
"""


@pytest.mark.parametrize(
    ("use", "absent"),
    [
        ("", {"asyncio", "ssl", "httptools", "zlib_ng", "email", "http"}),
        ("duologue.Limits", {"asyncio", "ssl", "zlib_ng"}),
        ("duologue.ServerProtocol, duologue.ClientProtocol", {"asyncio", "ssl", "zlib_ng"}),
        ("duologue.client, duologue.server", {"asyncio", "ssl", "zlib_ng"}),
    ],
)
def test_what_an_import_brings(use: str, absent: set[str]) -> None:
    code = IMPORT.format(use=use)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    brought = set(eval(done.stdout))
    assert not brought & absent


@pytest.mark.parametrize(("package", "name"), [("client", "connect"), ("server", "serve")])
def test_no_module_is_taken_for_the_function(package: str, name: str) -> None:
    """``from duologue.server import serve`` must not give a module that can't be called."""
    importlib.import_module(f"duologue.asyncio.{package}")
    found = getattr(importlib.import_module(f"duologue.{package}"), name, None)
    assert not isinstance(found, ModuleType)
