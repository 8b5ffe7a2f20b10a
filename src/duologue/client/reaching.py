"""The way to a server: directly, over a given socket or path, or through a proxy.

What comes out is a link to the server, whatever it leads through. It must never know of WebSocket:
the handshake's owner takes the link when it is there.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from typing import Literal

from duologue.base.limits import Limits
from duologue.client.carrying import AsyncioCarrier, Carrier, EngineCarrier, Opened, Options
from duologue.client.proxy import Proxy, get_proxy, parse_proxy, prepare_connect_request
from duologue.client.socks import connect_socks
from duologue.client.tunnel import Tunnel
from duologue.net.engine import Engine, use_epoll
from duologue.net.link import Link
from duologue.net.tls import take_tls_options
from duologue.wire.grammar import build_host
from duologue.wire.uri import WebSocketURI

ProxyOption = str | Literal[True] | None


def name_host(host: str, port: int) -> str:
    """Name a host and port in a message."""
    return build_host(host, port, False, always_include_port=True)


def _split(options: Options) -> tuple[Options, Options, Options]:
    """Separate options of TLS, of TLS to a proxy, and of the TCP connection."""
    tls: Options = {}
    proxy_tls: Options = {}
    others: Options = {}
    for name, value in options.items():
        if name.startswith("ssl") or name == "server_hostname":
            tls[name] = value
        elif name.startswith("proxy_"):
            proxy_tls[name.removeprefix("proxy_")] = value
        else:
            others[name] = value
    return tls, proxy_tls, others


class Reaching:
    """Opens links to servers.

    Args:
        proxy: ``True`` for the one that the system is configured to use, ``None`` for none, or the
            address of one.
        engine: what carries links.
        options: those of :meth:`asyncio.loop.create_connection`; those that begin with ``proxy_``
            are for TLS with a proxy.
        limits: bounds of what a proxy answers.
        user_agent: value of ``User-Agent`` for HTTP proxies, ``None`` for none.

    Attributes:
        doing: what is being done, to say where it failed.

    Raises:
        InvalidProxy: If ``proxy`` isn't the address of a proxy.
        TypeError: If it isn't one of the three, or an option for TLS with a proxy isn't known.
        ValueError: If options exclude each other.
    """

    def __init__(
        self,
        proxy: ProxyOption,
        engine: Engine,
        options: Options,
        limits: Limits,
        user_agent: str | None,
    ) -> None:
        if proxy is not None and proxy is not True and not isinstance(proxy, str):
            raise TypeError(f"proxy must be True, None or the address of one, not {proxy!r}")
        self._tls, self._proxy_tls, self._options = _split(options)
        given = options.get("sock") is not None or options.get("unix")
        if given and isinstance(proxy, str):
            raise ValueError("proxy is incompatible with a preexisting socket or a Unix socket")
        for name in self._proxy_tls:
            if not name.startswith("ssl") and name != "server_hostname":
                raise TypeError(f"unexpected option 'proxy_{name}'")
        self._proxy: Proxy | Literal[True] | None
        if isinstance(proxy, str):
            self._proxy = parse_proxy(proxy)
            self._tls_with(self._proxy)
        else:
            self._proxy = None if given else proxy
        self._engine: Engine = engine
        self._limits = limits
        self._user_agent = user_agent
        self._where = self._way = ""
        self.doing = "connecting"
        self.default_tls: ssl.SSLContext | Literal[True] = True
        """TLS settings for ``wss`` without the option ``ssl``, which ``ws`` doesn't take, though a
        redirect may lead from there to ``wss``."""

    async def open_link(self, uri: WebSocketURI, opened: Opened) -> Link:
        """Open a link to the server of ``uri``.

        Args:
            uri: where to; ``host`` and ``port`` among the options come before it.
            opened: called with the link; must give it an owner.

        Returns:
            The link.

        Raises:
            OSError: If a connection can't be made; :exc:`ssl.SSLError` if TLS fails.
            ProxyError: If the proxy refuses or can't be understood.
            InvalidProxy: If the system is configured to use something that is no proxy.
            ImportError: If the proxy needs a package that isn't installed.
        """
        self._where, self._way = name_host(uri.host, uri.port), ""
        link = await self._open_link(uri, opened)
        self._say("doing the opening handshake with")
        return link

    def _say(self, what: str) -> None:
        self.doing = f"{what} {self._where}{self._way}"

    def _say_tls(self) -> None:
        self._say("doing the TLS handshake with")

    async def _open_link(self, uri: WebSocketURI, opened: Opened) -> Link:
        loop = asyncio.get_running_loop()
        carrier = EngineCarrier(loop) if use_epoll(loop, self._engine) else AsyncioCarrier(loop)
        tls = self._tls.copy()
        if uri.secure:
            tls.setdefault("ssl", self.default_tls)
            tls.setdefault("server_hostname", uri.host)
        # Wrong options are found before anything is opened.
        take_tls_options(tls.copy())
        options = self._options.copy()
        sock, unix, path = (options.pop(name, None) for name in ("sock", "unix", "path"))
        if sock is not None or unix:
            for name in options:
                raise TypeError(f"unexpected option {name!r}")
        if sock is not None:
            self._way = " over a given socket"
            self._say("connecting to")
            return await carrier.take_socket(sock, tls, opened)
        if unix:
            self._way = f" over the Unix socket {path}"
            self._say("connecting to")
            return await carrier.connect_path(path, tls, opened)
        host, port = options.pop("host", None), options.pop("port", None)
        target = replace(uri, host=host or uri.host, port=port or uri.port)
        self._where = name_host(target.host, target.port)
        proxy = self._choose_proxy(target)
        self._say("connecting to")
        if proxy is None:
            return await carrier.connect_host(
                target.host, target.port, options, tls, opened, self._say_tls
            )
        if proxy.is_socks:
            sock = await connect_socks(loop, proxy, target.host, target.port, options)
            if tls.get("ssl"):
                self._say_tls()
            return await carrier.take_socket(sock, tls, opened)
        return await self._tunnel(carrier, proxy, target, options, tls, opened)

    def _choose_proxy(self, uri: WebSocketURI) -> Proxy | None:
        if self._proxy is not True:
            if self._proxy is not None:
                self._way = f" through the proxy {self._proxy}"
            return self._proxy
        configured = get_proxy(uri)
        if configured is None:
            return None
        self._way = " through the proxy that the system is configured to use"
        self._say("connecting to")
        proxy = parse_proxy(configured)
        self._way = f" through the proxy {proxy} that the system is configured to use"
        return proxy

    def _tls_with(self, proxy: Proxy) -> Options:
        """The options for TLS with the proxy itself.

        Raises:
            ValueError: If there are some and TLS isn't used with it, or the other way round.
        """
        tls = self._proxy_tls.copy()
        if proxy.secure:
            tls.setdefault("ssl", True)
            if not tls["ssl"]:
                raise ValueError(f"proxy_ssl={tls['ssl']} is incompatible with an https:// proxy")
            tls.setdefault("server_hostname", proxy.host)
            return tls
        for name, value in tls.items():
            if value is not None:
                raise ValueError(
                    f"proxy_{name} argument is incompatible with a {proxy.scheme}:// proxy"
                )
        return {}

    async def _tunnel(
        self,
        carrier: Carrier,
        proxy: Proxy,
        target: WebSocketURI,
        options: Options,
        tls: Options,
        opened: Opened,
    ) -> Link:
        """Connect to an HTTP proxy, ask it for a tunnel, and hand on the link through it."""
        request = prepare_connect_request(proxy, target, self._user_agent)
        tunnel = Tunnel(request, self._limits)
        proxy_tls = self._tls_with(proxy)

        def say(what: str = "doing the TLS handshake with") -> None:
            self.doing = f"{what} the proxy {proxy} on the way to {self._where}"

        say("connecting to")
        link = await carrier.connect_host(
            proxy.host, proxy.port, options, proxy_tls, tunnel.link_opened, say
        )
        self._say("asking for a tunnel to")
        try:
            await tunnel.done
            if tls.get("ssl"):
                self._say_tls()
                return await carrier.secure(link, tls, opened)
            opened(link)
            link.resume()
            return link
        except BaseException:
            link.abort_link()
            raise
