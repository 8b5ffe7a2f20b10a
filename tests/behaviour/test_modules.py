"""The names a program imports, where it imports them from, and how the exceptions descend."""

from __future__ import annotations

import pytest

from .library import NAMES_BY_MODULE, Library

#: Modules whose names the package itself exports, with what it leaves out.
EXPORTED = (
    "asyncio.client",
    "asyncio.server",
    "asyncio.router",
    "client",
    "server",
    "protocol",
    "frames",
    "http11",
    "datastructures",
    "exceptions",
    "typing",
)
NOT_EXPORTED = {"backoff", "process_exception", "SEND_EOF", "USER_AGENT", "SERVER"}
TOP_LEVEL = [
    name for module in EXPORTED for name in NAMES_BY_MODULE[module] if name not in NOT_EXPORTED
]

PARENTS: dict[str, str | type[Exception]] = {
    "WebSocketException": Exception,
    "ConnectionClosed": "WebSocketException",
    "ConnectionClosedOK": "ConnectionClosed",
    "ConnectionClosedError": "ConnectionClosed",
    "InvalidURI": "WebSocketException",
    "InvalidProxy": "WebSocketException",
    "InvalidHandshake": "WebSocketException",
    "SecurityError": "InvalidHandshake",
    "RequestLineTooLong": "SecurityError",
    "StatusLineTooLong": "SecurityError",
    "HeaderLineTooLong": "SecurityError",
    "TooManyHeaders": "SecurityError",
    "ProxyError": "InvalidHandshake",
    "InvalidProxyMessage": "ProxyError",
    "InvalidProxyStatus": "ProxyError",
    "InvalidMessage": "InvalidHandshake",
    "InvalidMethod": "InvalidHandshake",
    "InvalidProtocol": "InvalidHandshake",
    "InvalidStatus": "InvalidHandshake",
    "InvalidHeader": "InvalidHandshake",
    "InvalidHeaderFormat": "InvalidHeader",
    "InvalidHeaderValue": "InvalidHeader",
    "InvalidOrigin": "InvalidHeader",
    "InvalidUpgrade": "InvalidHeader",
    "NegotiationError": "InvalidHandshake",
    "DuplicateParameter": "NegotiationError",
    "InvalidParameterName": "NegotiationError",
    "InvalidParameterValue": "NegotiationError",
    "ProtocolError": "WebSocketException",
    "PayloadTooBig": "WebSocketException",
    "TooManyFragments": "WebSocketException",
    "InvalidState": "WebSocketException",
    "ConcurrencyError": "WebSocketException",
}


@pytest.mark.parametrize("module", NAMES_BY_MODULE)
def test_names_are_where_programs_import_them_from(lib: Library, module: str) -> None:
    imported = lib.module(module)
    assert [name for name in NAMES_BY_MODULE[module] if not hasattr(imported, name)] == []


def test_names_are_importable_from_the_package(lib: Library) -> None:
    package = __import__(lib.name)
    assert [name for name in TOP_LEVEL if not hasattr(package, name)] == []


def test_package_and_modules_export_the_same_objects(lib: Library) -> None:
    package = __import__(lib.name)
    for name in ("connect", "serve", "broadcast", "State", "Frame", "Headers", "ConnectionClosed"):
        assert getattr(package, name) is getattr(lib, name)


def test_package_has_a_version(lib: Library) -> None:
    assert __import__(lib.name).__version__ == lib.version
    assert lib.version[0].isdigit()


@pytest.mark.parametrize("name", PARENTS)
def test_exceptions_descend(lib: Library, name: str) -> None:
    parent = PARENTS[name]
    expected = getattr(lib, parent) if isinstance(parent, str) else parent
    assert expected in getattr(lib, name).__bases__


def test_some_exceptions_are_builtin_errors_too(lib: Library) -> None:
    assert issubclass(lib.ConcurrencyError, RuntimeError)
    assert issubclass(lib.InvalidState, AssertionError)
    assert issubclass(lib.MultipleValuesError, LookupError)


def test_connections_share_a_base(lib: Library) -> None:
    assert issubclass(lib.ClientConnection, lib.Connection)
    assert issubclass(lib.ServerConnection, lib.Connection)


def test_protocols_share_a_base(lib: Library) -> None:
    assert issubclass(lib.ClientProtocol, lib.Protocol)
    assert issubclass(lib.ServerProtocol, lib.Protocol)


def test_states_are_numbered_as_in_the_browser(lib: Library) -> None:
    assert [(state.name, state.value) for state in lib.State] == [
        ("CONNECTING", 0),
        ("OPEN", 1),
        ("CLOSING", 2),
        ("CLOSED", 3),
    ]


def test_sides(lib: Library) -> None:
    assert (lib.Side.SERVER, lib.Side.CLIENT) == (0, 1)


def test_opcodes_and_close_codes_are_those_of_iana(lib: Library) -> None:
    opcodes = {opcode.name: opcode.value for opcode in lib.Opcode}
    assert opcodes == {"CONT": 0, "TEXT": 1, "BINARY": 2, "CLOSE": 8, "PING": 9, "PONG": 10}
    codes = {code.name: code.value for code in lib.CloseCode}
    assert codes == {
        "NORMAL_CLOSURE": 1000,
        "GOING_AWAY": 1001,
        "PROTOCOL_ERROR": 1002,
        "UNSUPPORTED_DATA": 1003,
        "NO_STATUS_RCVD": 1005,
        "ABNORMAL_CLOSURE": 1006,
        "INVALID_DATA": 1007,
        "POLICY_VIOLATION": 1008,
        "MESSAGE_TOO_BIG": 1009,
        "MANDATORY_EXTENSION": 1010,
        "INTERNAL_ERROR": 1011,
        "SERVICE_RESTART": 1012,
        "TRY_AGAIN_LATER": 1013,
        "BAD_GATEWAY": 1014,
        "TLS_HANDSHAKE": 1015,
    }
