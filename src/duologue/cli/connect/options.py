"""The arguments of ``duologue connect``, and what they come to.

Their names are those of wscat and websocat; where the two disagree,
``docs/reference/command-line.md`` says what is done here.
"""

from __future__ import annotations

import argparse

from duologue.base.exceptions import InvalidHeader
from duologue.base.types import Subprotocol
from duologue.cli import values
from duologue.cli.connect.talk import PATIENCE, SILENCE
from duologue.wire.grammar import build_authorization_basic, validate_subprotocols
from duologue.wire.headers import Headers

__all__ = ["declare", "read_headers", "read_subprotocols"]

_OURS = {
    "connection": "it can't be another",
    "sec-websocket-extensions": "--no-compression leaves it out",
    "sec-websocket-key": "it must be new each time",
    "sec-websocket-protocol": "use --subprotocol",
    "sec-websocket-version": "there is but one",
    "upgrade": "it can't be another",
}


def declare(parser: argparse.ArgumentParser) -> None:
    """Declares them.

    Args:
        parser: What to add them to.
    """
    parser.add_argument("url", metavar="URL", help="address of the server: ws://… or wss://…")
    _declare_request(parser.add_argument_group("the request"))
    _declare_way(parser.add_argument_group("the way to the server"))
    _declare_sending(parser.add_argument_group("what is sent, and when it ends"))
    _declare_showing(parser.add_argument_group("what is shown"))


def _declare_request(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-H",
        "--header",
        metavar="NAME:VALUE",
        action="append",
        default=[],
        help="add a header to the request; may be repeated",
    )
    group.add_argument("-o", "--origin", metavar="ORIGIN", help="send an Origin header")
    group.add_argument(
        "-s",
        "--subprotocol",
        metavar="NAME",
        action="append",
        default=[],
        help="offer a subprotocol, or several with commas between; may be repeated",
    )
    group.add_argument(
        "--auth", metavar="USER:PASSWORD", help="send credentials (Basic authentication)"
    )
    group.add_argument(
        "--no-compression", action="store_true", help="don't offer permessage-deflate"
    )
    group.add_argument(
        "-L",
        "--location",
        action="store_true",
        help="follow redirects; credentials are not sent to another server",
    )


def _declare_way(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-k",
        "--insecure",
        "-n",
        "--no-check",
        action="store_true",
        help="accept any certificate: whoever is on the way can read and change everything",
    )
    group.add_argument(
        "--ca", metavar="FILE", help="trust the authorities in FILE (PEM) and no others"
    )
    group.add_argument("--cert", metavar="FILE", help="certificate of the client (PEM)")
    group.add_argument(
        "--key", metavar="FILE", help="its private key, unless the certificate's file has it"
    )
    group.add_argument(
        "--proxy",
        metavar="URL",
        help="go through a proxy (http, https, socks4, socks4a, socks5, socks5h); 'none' to go "
        "directly (default: what the environment says, as in HTTPS_PROXY and NO_PROXY)",
    )
    group.add_argument(
        "--ping-interval",
        metavar="SECONDS",
        type=values.interval,
        default=...,
        help="time between pings that watch over the connection; 'none' for no pings (default: 20)",
    )
    group.add_argument(
        "--reconnect",
        action="store_true",
        help="connect again when the connection is lost, after a growing pause",
    )


def _declare_sending(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-x",
        "--execute",
        metavar="TEXT",
        type=values.text,
        action="append",
        default=[],
        help="send TEXT after connecting and leave the input alone; may be repeated",
    )
    group.add_argument(
        "-w",
        "--wait",
        metavar="SECONDS",
        type=values.wait,
        help="wait for answers so long after -x or the end of a piped input, and then close; "
        "'none' (or --wait=-1) never closes, and reads the input also after -x "
        f"(default: until {SILENCE:g} s without a message, at most {PATIENCE:g} s)",
    )
    group.add_argument(
        "-1",
        "--one-message",
        action="store_true",
        help="send one message from a pipe at most, and close when one has arrived",
    )
    group.add_argument(
        "-b",
        "--binary",
        action="store_true",
        help="send binary messages; in a pipe the octets count, not lines, both in and out",
    )
    group.add_argument(
        "--slash", action="store_true", help="take /commands from a pipe too, see /help"
    )


def _declare_showing(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-P", "--show-ping-pong", action="store_true", help="show pings and pongs that arrive"
    )
    group.add_argument(
        "-q", "--quiet", action="store_true", help="show messages and failures, nothing else"
    )
    group.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="show the handshake and each frame, as hexadecimal digits and text; credentials "
        "in headers are left out",
    )


def read_headers(lines: list[str], auth: str | None) -> Headers:
    """Reads ``--header`` and ``--auth``.

    Args:
        lines: Each ``NAME: VALUE``.
        auth: ``USER:PASSWORD``.

    Raises:
        ValueError: If one isn't of that form, or is for the handshake to decide.
    """
    headers = Headers()
    for line in lines:
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon:
            raise ValueError(f"--header wants NAME:VALUE, not {line!r}")
        if name.lower() in _OURS:
            raise ValueError(f"--header {name} is for the handshake: {_OURS[name.lower()]}")
        try:
            headers[name] = value
        except InvalidHeader as error:
            raise ValueError(f"--header {line!r}: {error}") from None
    if auth is not None:
        user, colon, password = auth.partition(":")
        if not colon:
            raise ValueError("--auth wants USER:PASSWORD")
        if "Authorization" in headers:
            raise ValueError("--auth and --header Authorization exclude each other")
        headers["Authorization"] = build_authorization_basic(user, password)
    return headers


def read_subprotocols(texts: list[str]) -> list[Subprotocol]:
    """Reads ``--subprotocol``.

    Args:
        texts: Names, or several with commas between.

    Raises:
        ValueError: If one can't be a name.
    """
    names = [Subprotocol(name.strip()) for text in texts for name in text.split(",")]
    validate_subprotocols(names)
    return names
