"""Connecting through SOCKS proxies, with python-socks (the extra ``duologue[socks]``).

python-socks speaks the protocol; the connection to the proxy is made by us, as every other is.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from duologue.base.exceptions import ProxyError
from duologue.client.proxy import Proxy
from duologue.net.dialling import dial

_LOOKED_UP_BY_PROXY = {"socks4": False, "socks4a": True, "socks5": False, "socks5h": True}

LONGEST = 86400.0
"""Seconds: python-socks wants a limit of its own; ``open_timeout`` is the one that counts."""


class _Dialler:
    """What python-socks takes for the proxy before the proxy."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: dict[str, Any]) -> None:
        self._loop = loop
        self._options = options

    async def connect(self, dest_host: str, dest_port: int, timeout: float | None) -> socket.socket:
        return await dial(self._loop, dest_host, dest_port, **self._options)


async def connect_socks(
    loop: asyncio.AbstractEventLoop, proxy: Proxy, host: str, port: int, options: dict[str, Any]
) -> socket.socket:
    """Connect to a server through a SOCKS proxy.

    Args:
        loop: the event loop.
        proxy: the proxy; with ``socks4a`` and ``socks5h`` it looks up ``host``.
        host: of the server.
        port: of the server.
        options: those of :func:`~duologue.net.dialling.dial`, for the connection to the proxy.

    Returns:
        A connected, non-blocking socket.

    Raises:
        ImportError: If python-socks isn't installed.
        OSError: If the proxy can't be reached, or breaks off.
        ProxyError: If the proxy refuses, or doesn't speak SOCKS.
    """
    try:
        import python_socks
        from python_socks.async_.asyncio import Proxy as SocksProxy
    except ImportError as exc:
        raise ImportError(
            "connecting through a SOCKS proxy requires python-socks: pip install duologue[socks]"
        ) from exc
    kind = python_socks.ProxyType.SOCKS4 if "4" in proxy.scheme else python_socks.ProxyType.SOCKS5
    socks = SocksProxy(
        kind,
        proxy.host,
        proxy.port,
        proxy.username,
        proxy.password,
        rdns=_LOOKED_UP_BY_PROXY[proxy.scheme],
        forward=_Dialler(loop, options),  # type: ignore[arg-type]
        loop=loop,
    )
    try:
        return await socks.connect(host, port, timeout=LONGEST)
    except OSError:
        raise
    except Exception as exc:
        why = str(exc) or "the proxy ended the connection"
        raise ProxyError(f"failed to connect to SOCKS proxy: {why}") from exc
