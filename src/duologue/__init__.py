"""WebSocket for Python, both ends: clients, servers and the protocol itself.

The names of `websockets` mean the same here; modules have the same paths. Nothing is imported
before it is used (PEP 562), so `import duologue` costs about nothing and needs no asyncio.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from duologue.version import version as __version__

if TYPE_CHECKING:
    from duologue.app.application import (
        App,
    )
    from duologue.app.errors import (
        HTTPError,
    )
    from duologue.app.guard import (
        BasicAuth,
        BearerAuth,
        InvalidTicket,
        TicketAuth,
        Tickets,
        first_message,
    )
    from duologue.asyncio.client import (
        ClientConnection,
        connect,
        unix_connect,
    )
    from duologue.asyncio.router import (
        Router,
        route,
        unix_route,
    )
    from duologue.asyncio.server import (
        Server,
        ServerConnection,
        basic_auth,
        broadcast,
        serve,
        unix_serve,
    )
    from duologue.base.accounts import (
        Accounts,
        accounts,
    )
    from duologue.base.limits import (
        Limits,
    )
    from duologue.base.rates import (
        Rate,
    )
    from duologue.client import (
        ClientProtocol,
    )
    from duologue.client.browser.abort import (
        AbortController,
        AbortSignal,
    )
    from duologue.client.browser.blob import (
        Blob,
    )
    from duologue.client.browser.dom_exception import (
        DOMException,
    )
    from duologue.client.browser.event_target import (
        EventTarget,
    )
    from duologue.client.browser.events import (
        CloseEvent,
        Event,
        MessageEvent,
    )
    from duologue.client.browser.stream import (
        WebSocketStream,
    )
    from duologue.client.browser.streams_error import (
        WebSocketError,
    )
    from duologue.client.browser.websocket import (
        WebSocket,
    )
    from duologue.connection.endpoint import (
        Endpoint,
    )
    from duologue.datastructures import (
        Headers,
        HeadersLike,
        MultipleValuesError,
    )
    from duologue.exceptions import (
        BackplaneError,
        BodyTooLarge,
        ConcurrencyError,
        ConnectionClosed,
        ConnectionClosedError,
        ConnectionClosedOK,
        DuplicateParameter,
        HeaderLineTooLong,
        InvalidHandshake,
        InvalidHeader,
        InvalidHeaderFormat,
        InvalidHeaderValue,
        InvalidMessage,
        InvalidMethod,
        InvalidOrigin,
        InvalidParameterName,
        InvalidParameterValue,
        InvalidProtocol,
        InvalidProxy,
        InvalidProxyMessage,
        InvalidProxyStatus,
        InvalidState,
        InvalidStatus,
        InvalidUpgrade,
        InvalidURI,
        NegotiationError,
        PayloadTooBig,
        ProtocolError,
        ProxyError,
        PublishError,
        RateExceeded,
        RequestLineTooLong,
        SecurityError,
        StatusLineTooLong,
        TooManyFragments,
        TooManyHeaders,
        TooManySubscriptions,
        WebSocketException,
    )
    from duologue.frames import (
        Close,
        CloseCode,
        Frame,
        Opcode,
    )
    from duologue.http11 import (
        Request,
        Response,
    )
    from duologue.hub.hub import (
        Hub,
    )
    from duologue.hub.publisher import (
        Publisher,
    )
    from duologue.net.later import (
        call_later,
    )
    from duologue.net.loops import (
        new_event_loop,
        run,
    )
    from duologue.net.selector import (
        EventLoop,
    )
    from duologue.protocol import (
        Protocol,
        Side,
        State,
    )
    from duologue.server import (
        ServerProtocol,
    )
    from duologue.typing import (
        Data,
        ExtensionName,
        ExtensionParameter,
        LoggerLike,
        Origin,
        StatusLike,
        Subprotocol,
    )

__all__ = [
    # duologue.app
    "App",
    "BasicAuth",
    "BearerAuth",
    "HTTPError",
    "InvalidTicket",
    "TicketAuth",
    "Tickets",
    "first_message",
    # duologue.asyncio.client
    "ClientConnection",
    "connect",
    "unix_connect",
    # duologue.asyncio.router
    "Router",
    "route",
    "unix_route",
    # duologue.asyncio.server
    "Server",
    "ServerConnection",
    "basic_auth",
    "broadcast",
    "serve",
    "unix_serve",
    # duologue.client
    "ClientProtocol",
    # duologue.client.browser
    "AbortController",
    "AbortSignal",
    "Blob",
    "CloseEvent",
    "DOMException",
    "Event",
    "EventTarget",
    "MessageEvent",
    "WebSocket",
    "WebSocketError",
    "WebSocketStream",
    # duologue.datastructures
    "Headers",
    "HeadersLike",
    "MultipleValuesError",
    # duologue.exceptions
    "BackplaneError",
    "BodyTooLarge",
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DuplicateParameter",
    "HeaderLineTooLong",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidHeaderFormat",
    "InvalidHeaderValue",
    "InvalidMessage",
    "InvalidMethod",
    "InvalidOrigin",
    "InvalidParameterName",
    "InvalidParameterValue",
    "InvalidProtocol",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyStatus",
    "InvalidState",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "NegotiationError",
    "PayloadTooBig",
    "ProtocolError",
    "ProxyError",
    "PublishError",
    "RateExceeded",
    "RequestLineTooLong",
    "SecurityError",
    "StatusLineTooLong",
    "TooManyFragments",
    "TooManyHeaders",
    "TooManySubscriptions",
    "WebSocketException",
    # duologue.frames
    "Close",
    "CloseCode",
    "Frame",
    "Opcode",
    # duologue.http11
    "Request",
    "Response",
    # duologue.base
    "Accounts",
    "Limits",
    "Rate",
    "accounts",
    "Endpoint",
    "EventLoop",
    "call_later",
    "new_event_loop",
    "run",
    # duologue.hub
    "Hub",
    "Publisher",
    # duologue.protocol
    "Protocol",
    "Side",
    "State",
    # duologue.server
    "ServerProtocol",
    # duologue.typing
    "Data",
    "ExtensionName",
    "ExtensionParameter",
    "LoggerLike",
    "Origin",
    "StatusLike",
    "Subprotocol",
    # duologue.version
    "__version__",
]

_SOURCES = {
    "duologue.app.application": ("App",),
    "duologue.app.errors": ("HTTPError",),
    "duologue.app.guard": (
        "BasicAuth",
        "BearerAuth",
        "InvalidTicket",
        "TicketAuth",
        "Tickets",
        "first_message",
    ),
    "duologue.asyncio.client": (
        "ClientConnection",
        "connect",
        "unix_connect",
    ),
    "duologue.asyncio.router": (
        "Router",
        "route",
        "unix_route",
    ),
    "duologue.asyncio.server": (
        "Server",
        "ServerConnection",
        "basic_auth",
        "broadcast",
        "serve",
        "unix_serve",
    ),
    "duologue.client": ("ClientProtocol",),
    "duologue.datastructures": (
        "Headers",
        "HeadersLike",
        "MultipleValuesError",
    ),
    "duologue.exceptions": (
        "BackplaneError",
        "BodyTooLarge",
        "ConcurrencyError",
        "ConnectionClosed",
        "ConnectionClosedError",
        "ConnectionClosedOK",
        "DuplicateParameter",
        "HeaderLineTooLong",
        "InvalidHandshake",
        "InvalidHeader",
        "InvalidHeaderFormat",
        "InvalidHeaderValue",
        "InvalidMessage",
        "InvalidMethod",
        "InvalidOrigin",
        "InvalidParameterName",
        "InvalidParameterValue",
        "InvalidProtocol",
        "InvalidProxy",
        "InvalidProxyMessage",
        "InvalidProxyStatus",
        "InvalidState",
        "InvalidStatus",
        "InvalidURI",
        "InvalidUpgrade",
        "NegotiationError",
        "PayloadTooBig",
        "ProtocolError",
        "ProxyError",
        "PublishError",
        "RateExceeded",
        "RequestLineTooLong",
        "SecurityError",
        "StatusLineTooLong",
        "TooManyFragments",
        "TooManyHeaders",
        "TooManySubscriptions",
        "WebSocketException",
    ),
    "duologue.frames": (
        "Close",
        "CloseCode",
        "Frame",
        "Opcode",
    ),
    "duologue.http11": (
        "Request",
        "Response",
    ),
    "duologue.base.accounts": ("Accounts", "accounts"),
    "duologue.base.limits": ("Limits",),
    "duologue.base.rates": ("Rate",),
    "duologue.client.browser.abort": ("AbortController", "AbortSignal"),
    "duologue.client.browser.blob": ("Blob",),
    "duologue.client.browser.dom_exception": ("DOMException",),
    "duologue.client.browser.event_target": ("EventTarget",),
    "duologue.client.browser.events": ("CloseEvent", "Event", "MessageEvent"),
    "duologue.client.browser.stream": ("WebSocketStream",),
    "duologue.client.browser.streams_error": ("WebSocketError",),
    "duologue.client.browser.websocket": ("WebSocket",),
    "duologue.connection.endpoint": ("Endpoint",),
    "duologue.hub.hub": ("Hub",),
    "duologue.hub.publisher": ("Publisher",),
    "duologue.net.later": ("call_later",),
    "duologue.net.loops": ("new_event_loop", "run"),
    "duologue.net.selector": ("EventLoop",),
    "duologue.protocol": (
        "Protocol",
        "Side",
        "State",
    ),
    "duologue.server": ("ServerProtocol",),
    "duologue.typing": (
        "Data",
        "ExtensionName",
        "ExtensionParameter",
        "LoggerLike",
        "Origin",
        "StatusLike",
        "Subprotocol",
    ),
}
_HOME = {name: module for module, names in _SOURCES.items() for name in names}
_MODULES = frozenset(
    {
        "asyncio",
        "client",
        "datastructures",
        "exceptions",
        "extensions",
        "frames",
        "headers",
        "http11",
        "protocol",
        "proxy",
        "server",
        "sync",
        "testing",
        "typing",
        "uri",
    }
)


def __getattr__(name: str) -> object:
    if name in _HOME:
        value: object = getattr(importlib.import_module(_HOME[name]), name)
        # From now on an ordinary attribute, found without this function.
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_MODULES})
