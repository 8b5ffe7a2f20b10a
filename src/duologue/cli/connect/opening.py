"""How the connections of ``duologue connect`` are made: the library's client, with two differences.

Redirects are followed only if that was asked for. TLS settings hold for ``wss`` wherever it is met,
also behind a redirect from ``ws``.
"""

from __future__ import annotations

import argparse
import logging
import ssl
from typing import Any

from duologue.asyncio.client import connect
from duologue.base.types import Origin
from duologue.cli.certificates import read_tls
from duologue.cli.connect import options
from duologue.cli.connect.talk import MAX_SIZE
from duologue.wire.headers import Headers

__all__ = ["Connector", "make"]


class Connector(connect):
    """Connects as the command line says.

    Args:
        url: Where to.
        follow: Whether redirects are followed.
        tls: Settings for ``wss``; ``None`` for the usual ones.
        **kwargs: Passed to :class:`duologue.asyncio.client.connect`.
    """

    def __init__(
        self, url: str, *, follow: bool, tls: ssl.SSLContext | None, **kwargs: Any
    ) -> None:
        super().__init__(url, **kwargs)
        self.given_uri = url
        self._follow = follow
        if tls is not None:
            self._reaching.default_tls = tls

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Judges whether a failure is a redirect to follow."""
        return super().process_redirect(exc) if self._follow else exc


def make(arguments: argparse.Namespace, logger: logging.Logger) -> Connector:
    """Makes what connects.

    Args:
        arguments: See :func:`duologue.cli.connect.options.declare`.
        logger: Where connections log.

    Raises:
        InvalidURI: If the URL isn't one.
        InvalidProxy: If the proxy's isn't.
        InvalidHeader: If the origin can't be in a header.
        ValueError: If another argument can't be.
        Failure: If a file can't be read or used.
    """
    origin = arguments.origin
    if origin is not None:
        Headers([("Origin", origin)])  # judges it
    headers = options.read_headers(arguments.header, arguments.auth)
    kwargs: dict[str, Any] = {}
    if arguments.proxy is not None:
        kwargs["proxy"] = None if arguments.proxy.lower() == "none" else arguments.proxy
    return Connector(
        arguments.url,
        follow=arguments.location,
        tls=read_tls(arguments),
        origin=None if origin is None else Origin(origin),
        subprotocols=options.read_subprotocols(arguments.subprotocol) or None,
        compression=None if arguments.no_compression else "deflate",
        additional_headers=headers,
        ping_interval=arguments.ping_interval,
        max_size=MAX_SIZE,
        logger=logger,
        **kwargs,
    )
