"""The constants that handlers import, and extensions as they stand in headers.

Sources: RFC 6455 sections 4, 5.2, 7.4 and 9.1.
"""

from __future__ import annotations

from duologue.frontends.pywebsocket import http_header_util
from duologue.frontends.pywebsocket.exceptions import ExtensionParsingException

LOGLEVEL_FINE = 9

VERSION_HYBI13 = 13
VERSION_HYBI14 = 13
VERSION_HYBI15 = 13
VERSION_HYBI16 = 13
VERSION_HYBI17 = 13
VERSION_HYBI_LATEST = VERSION_HYBI13

DEFAULT_WEB_SOCKET_PORT = 80
DEFAULT_WEB_SOCKET_SECURE_PORT = 443
WEB_SOCKET_SCHEME = "ws"
WEB_SOCKET_SECURE_SCHEME = "wss"

OPCODE_CONTINUATION = 0x0
OPCODE_TEXT = 0x1
OPCODE_BINARY = 0x2
OPCODE_CLOSE = 0x8
OPCODE_PING = 0x9
OPCODE_PONG = 0xA

WEBSOCKET_ACCEPT_UUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

UPGRADE_HEADER = "Upgrade"
WEBSOCKET_UPGRADE_TYPE = "websocket"
CONNECTION_HEADER = "Connection"
UPGRADE_CONNECTION_TYPE = "Upgrade"
HOST_HEADER = "Host"
ORIGIN_HEADER = "Origin"
SEC_WEBSOCKET_KEY_HEADER = "Sec-WebSocket-Key"
SEC_WEBSOCKET_ACCEPT_HEADER = "Sec-WebSocket-Accept"
SEC_WEBSOCKET_VERSION_HEADER = "Sec-WebSocket-Version"
SEC_WEBSOCKET_PROTOCOL_HEADER = "Sec-WebSocket-Protocol"
SEC_WEBSOCKET_EXTENSIONS_HEADER = "Sec-WebSocket-Extensions"

PERMESSAGE_DEFLATE_EXTENSION = "permessage-deflate"

STATUS_NORMAL_CLOSURE = 1000
STATUS_GOING_AWAY = 1001
STATUS_PROTOCOL_ERROR = 1002
STATUS_UNSUPPORTED_DATA = 1003
STATUS_NO_STATUS_RECEIVED = 1005
STATUS_ABNORMAL_CLOSURE = 1006
STATUS_INVALID_FRAME_PAYLOAD_DATA = 1007
STATUS_POLICY_VIOLATION = 1008
STATUS_MESSAGE_TOO_BIG = 1009
STATUS_MANDATORY_EXTENSION = 1010
STATUS_INTERNAL_ENDPOINT_ERROR = 1011
STATUS_TLS_HANDSHAKE = 1015
STATUS_USER_REGISTERED_BASE = 3000
STATUS_USER_REGISTERED_MAX = 3999
STATUS_USER_PRIVATE_BASE = 4000
STATUS_USER_PRIVATE_MAX = 4999
STATUS_NORMAL = STATUS_NORMAL_CLOSURE
STATUS_UNSUPPORTED = STATUS_UNSUPPORTED_DATA
STATUS_CODE_NOT_AVAILABLE = STATUS_NO_STATUS_RECEIVED
STATUS_ABNORMAL_CLOSE = STATUS_ABNORMAL_CLOSURE
STATUS_INVALID_FRAME_PAYLOAD = STATUS_INVALID_FRAME_PAYLOAD_DATA
STATUS_MANDATORY_EXT = STATUS_MANDATORY_EXTENSION

HTTP_STATUS_BAD_REQUEST = 400
HTTP_STATUS_FORBIDDEN = 403
HTTP_STATUS_NOT_FOUND = 404


def is_control_opcode(opcode: int) -> bool:
    """Tells whether an opcode is that of a control frame."""
    return opcode >> 3 == 1


class ExtensionParameter:
    """An extension as it is offered or accepted: its name and parameters in order.

    Args:
        name: The extension's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._parameters: list[tuple[str, str | None]] = []

    def name(self) -> str:
        """Returns the name of the extension."""
        return self._name

    def add_parameter(self, name: str, value: str | None) -> None:
        """Adds a parameter; ``None`` as value for one without."""
        self._parameters.append((name, value))

    def get_parameters(self) -> list[tuple[str, str | None]]:
        """Returns names and values."""
        return self._parameters

    def get_parameter_names(self) -> list[str]:
        """Returns the names."""
        return [name for name, _ in self._parameters]

    def has_parameter(self, name: str) -> bool:
        """Tells whether there is a parameter of that name."""
        return name in self.get_parameter_names()

    def get_parameter_value(self, name: str) -> str | None:
        """Returns the value of a parameter; ``None`` if it has none, or isn't there."""
        return next((value for each, value in self._parameters if each == name), None)


def _parse_parameter(state: http_header_util.ParsingState, extension: ExtensionParameter) -> None:
    name = http_header_util.consume_token(state)
    if name is None:
        raise ExtensionParsingException(f"No parameter name after {extension.name()!r}")
    value = None
    http_header_util.consume_lwses(state)
    if http_header_util.consume_string(state, "="):
        http_header_util.consume_lwses(state)
        value = http_header_util.consume_token_or_quoted_string(state)
        if value is None:
            raise ExtensionParsingException(f"Parameter {name!r} of {extension.name()!r}: no value")
    extension.add_parameter(name, value)


def parse_extensions(data: str) -> list[ExtensionParameter]:
    """Reads the value of a ``Sec-WebSocket-Extensions`` header.

    Args:
        data: The value, without white space before it.

    Returns:
        The extensions in order.

    Raises:
        ExtensionParsingException: If it can't be read or names none.
    """
    state = http_header_util.ParsingState(data)
    extensions = []
    while True:
        name = http_header_util.consume_token(state)
        if name is not None:
            extension = ExtensionParameter(name)
            extensions.append(extension)
            http_header_util.consume_lwses(state)
            while http_header_util.consume_string(state, ";"):
                http_header_util.consume_lwses(state)
                _parse_parameter(state, extension)
                http_header_util.consume_lwses(state)
        http_header_util.consume_lwses(state)
        found = http_header_util.peek(state)
        if found is None:
            break
        if not http_header_util.consume_string(state, ","):
            raise ExtensionParsingException(f"Expected a comma but found {found!r}")
        http_header_util.consume_lwses(state)
    if not extensions:
        raise ExtensionParsingException("No extension")
    return extensions


def format_extension(extension: ExtensionParameter) -> str:
    """Returns an extension as it stands in a header."""
    parts = [extension.name()]
    for name, value in extension.get_parameters():
        written = "" if value is None else f"={http_header_util.quote_if_necessary(value)}"
        parts.append(name + written)
    return "; ".join(parts)


def format_extensions(extension_list: list[ExtensionParameter]) -> str:
    """Returns the value of a ``Sec-WebSocket-Extensions`` header."""
    return ", ".join(map(format_extension, extension_list))
