"""From the command line's arguments to a plan."""

from __future__ import annotations

import argparse
import ssl

from duologue.base.types import Origin
from duologue.cli import explain
from duologue.cli.certificates import read_tls
from duologue.cli.check.plan import MAX_MESSAGE, PATIENCE, PINGS, Plan
from duologue.cli.connect.options import read_headers, read_subprotocols
from duologue.client.proxy import Proxy, get_proxy, parse_proxy
from duologue.wire.uri import WebSocketURI, parse_uri

__all__ = ["make_plan", "read_proxy"]


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Returns what the arguments ask for.

    Args:
        arguments: See :func:`duologue.cli.check.add_arguments`.

    Raises:
        InvalidURI: If the URL isn't one.
        InvalidProxy: If the proxy isn't one.
        ValueError: If another value can't be what it should be.
        Failure: If a file can't be used.
    """
    uri = parse_uri(arguments.url)
    return Plan(
        url=explain.without_password(arguments.url),
        uri=uri,
        headers=tuple(read_headers(arguments.header, arguments.auth).raw_items()),
        origin=None if arguments.origin is None else Origin(arguments.origin),
        subprotocols=tuple(read_subprotocols(arguments.subprotocol)),
        tls=_tls(arguments) if uri.secure else None,
        proxy=read_proxy(arguments.proxy, uri),
        patience=arguments.patience or PATIENCE,
        pings=arguments.pings or PINGS,
        max_message=arguments.max_message or MAX_MESSAGE,
        messages=not arguments.no_messages,
        idle=arguments.idle,
    )


def _tls(arguments: argparse.Namespace) -> ssl.SSLContext:
    tls = read_tls(arguments)
    if tls is None:
        tls = ssl.create_default_context()
        tls.set_alpn_protocols(["http/1.1"])
    return tls


def read_proxy(value: str | None, uri: WebSocketURI) -> Proxy | None:
    """Reads ``--proxy``.

    Args:
        value: A proxy's address, ``none`` for no proxy; ``None`` for the one that the system is
            configured to use.
        uri: Where the connection shall lead.

    Raises:
        InvalidProxy: If it isn't the address of a proxy.
    """
    if value is None:
        value = get_proxy(uri)
    elif value.lower() == "none":
        return None
    return None if value is None else parse_proxy(value)
