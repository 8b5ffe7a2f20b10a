"""The opening handshake of RFC 6455 from the server's side.

First the request is judged, then its handler asked, then the answer is sent: nothing of ours before
the handler has had its say, since it may write an answer of its own.

Source: RFC 6455 section 4.2.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Iterator
from typing import Any

from duologue.frontends.pywebsocket import common
from duologue.frontends.pywebsocket.exceptions import (
    ExtensionParsingException,
    HandshakeException,
    VersionException,
)
from duologue.frontends.pywebsocket.extensions import get_extension_processor
from duologue.frontends.pywebsocket.handshake.base import (
    get_mandatory_header,
    parse_token_list,
    validate_mandatory_header,
    validate_subprotocol,
)
from duologue.frontends.pywebsocket.stream import Stream, StreamOptions

__all__ = [
    "Accept",
    "check_request_line",
    "compute_accept",
    "compute_accept_from_unicode",
    "do_handshake",
    "format_header",
]

_logger = logging.getLogger(__name__)

# 16 octets in base64: the last character before the padding has four bits that must be 0.
_KEY = re.compile("[+/0-9A-Za-z]{21}[AQgw]==")

_ONCE = (
    common.HOST_HEADER,
    common.SEC_WEBSOCKET_KEY_HEADER,
    common.SEC_WEBSOCKET_VERSION_HEADER,
)


class Accept(bytes):
    """The value of ``Sec-WebSocket-Accept``.

    pywebsocket3's functions return octets in base64, mod_pywebsocket's a pair of these and of the
    hash itself. This is the former, and can be indexed and unpacked as the latter.
    """

    def _pair(self) -> tuple[bytes, bytes]:
        return bytes(self), base64.b64decode(bytes(self))

    def __getitem__(self, index: Any) -> Any:
        return self._pair()[index] if index in (0, 1) else super().__getitem__(index)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pair())


def compute_accept(key: bytes) -> Accept:
    """Returns the ``Sec-WebSocket-Accept`` that answers a ``Sec-WebSocket-Key``."""
    return Accept(base64.b64encode(hashlib.sha1(key + common.WEBSOCKET_ACCEPT_UUID).digest()))


def compute_accept_from_unicode(unicode_key: str) -> Accept:
    """The same for a key as text."""
    return compute_accept(unicode_key.encode())


def check_request_line(request: Any) -> None:
    """Checks method and version.

    Raises:
        HandshakeException: If they aren't GET and HTTP/1.1.
    """
    if request.method != "GET":
        raise HandshakeException(f"Method is not GET: {request.method!r}")
    if request.protocol != "HTTP/1.1":
        raise HandshakeException(f"Version is not HTTP/1.1: {request.protocol!r}")


def _octets(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return str(value).encode()


def format_header(name: object, value: object) -> bytes:
    """Returns a header line; what handlers give is sent as it is, text as UTF-8."""
    return b"%s: %s\r\n" % (_octets(name), _octets(value))


def do_handshake(request: Any, dispatcher: Any) -> None:
    """See :func:`duologue.frontends.pywebsocket.handshake.do_handshake`."""
    try:
        request.ws_close_code = None
        request.ws_close_reason = None
        _check_request(request)
        request.ws_resource = request.uri
        request.ws_version = _version(request)
        _read_wishes(request)
        request._accept = compute_accept(_key(request).encode())
        request.extra_headers = []
        dispatcher.do_extra_handshake(request)
        options = StreamOptions()
        options.max_size = getattr(request, "max_size", None)
        options.close_timeout = getattr(request, "close_timeout", None)
        request.ws_extensions = _agree(request, options)
        request.ws_stream = Stream(request, options)
        _check_subprotocol(request)
    except HandshakeException as error:
        error.status = error.status or common.HTTP_STATUS_BAD_REQUEST
        raise
    request.connection.write(_response(request))


def _check_request(request: Any) -> None:
    check_request_line(request)
    validate_mandatory_header(request, common.UPGRADE_HEADER, common.WEBSOCKET_UPGRADE_TYPE)
    get_mandatory_header(request, common.CONNECTION_HEADER)
    connection = ", ".join(request.headers_in.get_all(common.CONNECTION_HEADER))
    tokens = [token.lower() for token in parse_token_list(connection)]
    if common.UPGRADE_CONNECTION_TYPE.lower() not in tokens:
        raise HandshakeException(f"{common.CONNECTION_HEADER} header doesn't contain 'Upgrade'")
    get_mandatory_header(request, common.HOST_HEADER)
    for name in _ONCE:
        if len(request.headers_in.get_all(name, [])) > 1:
            raise HandshakeException(f"Header {name} occurs more than once")


def _version(request: Any) -> int:
    version = get_mandatory_header(request, common.SEC_WEBSOCKET_VERSION_HEADER)
    if version == str(common.VERSION_HYBI_LATEST):
        return common.VERSION_HYBI_LATEST
    if "," in version:
        raise HandshakeException(f"Multiple versions ({version!r}) are not allowed")
    raise VersionException(f"Unsupported version {version!r}", str(common.VERSION_HYBI_LATEST))


def _key(request: Any) -> str:
    key = get_mandatory_header(request, common.SEC_WEBSOCKET_KEY_HEADER)
    if not _KEY.fullmatch(key):
        raise HandshakeException(
            f"Illegal value for header {common.SEC_WEBSOCKET_KEY_HEADER}: {key!r}"
        )
    return key


def _joined(request: Any, name: str) -> str | None:
    values = request.headers_in.get_all(name)
    return None if values is None else ", ".join(values)


def _read_wishes(request: Any) -> None:
    """Notes origin, subprotocols and extensions that the client wants."""
    request.ws_origin = request.headers_in.get(common.ORIGIN_HEADER)
    request.ws_protocol = None
    subprotocols = _joined(request, common.SEC_WEBSOCKET_PROTOCOL_HEADER)
    request.ws_requested_protocols = (
        None if subprotocols is None else parse_token_list(subprotocols)
    )
    request.ws_requested_extensions = None
    extensions = _joined(request, common.SEC_WEBSOCKET_EXTENSIONS_HEADER)
    if extensions and getattr(request, "compression", True):
        try:
            request.ws_requested_extensions = common.parse_extensions(extensions)
        except ExtensionParsingException as error:
            raise HandshakeException(
                f"Failed to parse {common.SEC_WEBSOCKET_EXTENSIONS_HEADER}: {error}"
            ) from error
    found = [get_extension_processor(offer) for offer in request.ws_requested_extensions or ()]
    request.ws_extension_processors = [processor for processor in found if processor is not None]


def _agree(request: Any, options: StreamOptions) -> list[common.ExtensionParameter] | None:
    """Returns the extensions to use: of those that the handler left, the first that can be."""
    for processor in request.ws_extension_processors:
        response = None if processor is None else processor.get_extension_response()
        if response is not None:
            processor.setup_stream_options(options)
            return [response]
    return None


def _check_subprotocol(request: Any) -> None:
    if request.ws_requested_protocols is None:
        if request.ws_protocol is not None:
            raise HandshakeException(
                "ws_protocol must be None when the client didn't request any subprotocol"
            )
    elif request.ws_protocol is None:
        raise HandshakeException(
            "do_extra_handshake must choose one subprotocol from ws_requested_protocols and set "
            "it to ws_protocol"
        )
    else:
        validate_subprotocol(request.ws_protocol)


def _response(request: Any) -> bytes:
    lines = [
        b"HTTP/1.1 101 Switching Protocols\r\n",
        format_header(common.UPGRADE_HEADER, common.WEBSOCKET_UPGRADE_TYPE),
        format_header(common.CONNECTION_HEADER, common.UPGRADE_CONNECTION_TYPE),
        format_header(common.SEC_WEBSOCKET_ACCEPT_HEADER, request._accept),
    ]
    if request.ws_protocol is not None:
        lines.append(format_header(common.SEC_WEBSOCKET_PROTOCOL_HEADER, request.ws_protocol))
    if request.ws_extensions:
        extensions = common.format_extensions(request.ws_extensions)
        lines.append(format_header(common.SEC_WEBSOCKET_EXTENSIONS_HEADER, extensions))
    lines += [format_header(name, value) for name, value in request.extra_headers]
    return b"".join((*lines, b"\r\n"))
