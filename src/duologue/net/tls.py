"""TLS for links of the engine: its options, and its handshakes for who accepts and who dials.

Names, defaults and errors of the options are those of asyncio's ``create_server`` and
``create_connection``.
"""

from __future__ import annotations

import asyncio
import logging
import ssl as ssl_module
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duologue.net.link import Link
    from duologue.net.socket_link import SocketLink
    from duologue.net.tls_link import TlsLink

HANDSHAKE_TIMEOUT = 60.0
"""Seconds for the TLS handshake, as in asyncio."""

SHUTDOWN_TIMEOUT = 30.0
"""Seconds in which a closed link must have sent what waits, as in asyncio."""

logger = logging.getLogger("duologue.net")


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How the sessions of a server or of one connection are made."""

    context: ssl_module.SSLContext
    server_hostname: str | None
    handshake_timeout: float
    shutdown_timeout: float

    def begin(
        self,
        loop: asyncio.AbstractEventLoop,
        inner: SocketLink | TlsLink,
        opened: Callable[[TlsLink], None],
        failed: Callable[[Exception], None],
        *,
        server_side: bool,
    ) -> TlsLink:
        """Put a session over ``inner``; see :class:`~duologue.net.tls_link.TlsLink`."""
        # Compiled only where there is an engine.
        from duologue.net.tls_link import TlsLink

        return TlsLink(
            loop,
            inner,
            self.context,
            opened,
            failed,
            server_side=server_side,
            server_hostname=self.server_hostname,
            handshake_timeout=self.handshake_timeout,
            shutdown_timeout=self.shutdown_timeout,
        )


def take_tls_options(options: dict[str, Any], *, server_side: bool = False) -> TlsOptions | None:
    """Take what is about TLS out of options.

    Args:
        options: those of asyncio's ``create_server`` or ``create_connection``; ``ssl``,
            ``server_hostname``, ``ssl_handshake_timeout`` and ``ssl_shutdown_timeout`` are removed.
        server_side: whether they are a server's.

    Returns:
        The options, ``None`` without TLS.

    Raises:
        TypeError: If ``ssl`` isn't a context (a client may say ``True`` for the default one).
        ValueError: If a time-out isn't above 0, or an option means nothing without ``ssl``.
    """
    context = options.pop("ssl", None)
    hostname = options.pop("server_hostname", None)
    handshake = options.pop("ssl_handshake_timeout", None)
    shutdown = options.pop("ssl_shutdown_timeout", None)
    named = {
        "server_hostname": hostname,
        "ssl_handshake_timeout": handshake,
        "ssl_shutdown_timeout": shutdown,
    }
    if context is None or (context is False and not server_side):
        for name, value in named.items():
            if value is not None:
                raise ValueError(f"{name} is only meaningful with ssl")
        return None
    for name in ("ssl_handshake_timeout", "ssl_shutdown_timeout"):
        value = named[name]
        if value is not None and value <= 0:
            raise ValueError(f"{name} should be a positive number, got {value}")
    if context is True and not server_side:
        context = ssl_module.create_default_context()
        context.check_hostname = bool(hostname)
    if not isinstance(context, ssl_module.SSLContext):
        raise TypeError(f"ssl argument must be an SSLContext or None, not {context!r}")
    return TlsOptions(
        context,
        hostname or None,
        HANDSHAKE_TIMEOUT if handshake is None else handshake,
        SHUTDOWN_TIMEOUT if shutdown is None else shutdown,
    )


class Handshakes:
    """The handshakes that a server has under way.

    A handshake that fails concerns nobody but the peer, which has been sent the alert: it is logged
    on level DEBUG only, since any port of the Internet sees many of them.

    Args:
        loop: the event loop.
        options: of each session.
        opened: called with each link whose handshake is done; must give it an owner.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: TlsOptions,
        opened: Callable[[Link], None],
    ) -> None:
        self._loop = loop
        self._options = options
        self._opened = opened
        self._links: set[TlsLink] = set()

    def __len__(self) -> int:
        return len(self._links)

    def accept(self, inner: SocketLink) -> None:
        """Begin the handshake on a link that was just accepted."""

        def opened(link: TlsLink) -> None:
            self._links.discard(link)
            self._opened(link)

        def failed(exc: Exception) -> None:
            self._links.discard(link)
            logger.debug("TLS handshake failed: %s", exc)

        link = self._options.begin(self._loop, inner, opened, failed, server_side=True)
        self._links.add(link)

    def close(self) -> None:
        """Break off what is under way."""
        links, self._links = self._links, set()
        for link in links:
            link.abort_link()


async def dial_tls(
    loop: asyncio.AbstractEventLoop, inner: SocketLink | TlsLink, options: TlsOptions
) -> TlsLink:
    """Do a client's handshake on a link that was just connected.

    Args:
        loop: the event loop.
        inner: the connected link, paused or not yet reading, which is closed if the handshake
            fails.
        options: of the session.

    Returns:
        A link that begins to read when told to.

    Raises:
        ssl.SSLError: If the handshake fails; :exc:`ssl.SSLCertVerificationError` if it was for the
            server's certificate.
        OSError: If the connection is lost, or ``handshake_timeout`` passes.
        ValueError: If the context checks names and there is none.
    """
    done: asyncio.Future[TlsLink] = loop.create_future()

    def opened(link: TlsLink) -> None:
        if not done.done():
            done.set_result(link)

    def failed(exc: Exception) -> None:
        if not done.done():
            done.set_exception(exc)

    try:
        options.begin(loop, inner, opened, failed, server_side=False)
        inner.begin()
        inner.resume()
        return await done
    except BaseException:
        inner.abort_link()
        raise
