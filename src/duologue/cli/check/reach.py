"""The way to the endpoint: its addresses, TCP to each of them, or a proxy; then TLS.

Looked at once, step by step; the connections of the later steps take the same way, to the address
that answered.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from duologue.base.exceptions import InvalidProxyStatus, ProxyError
from duologue.cli import explain
from duologue.cli.check.answers import discard
from duologue.cli.check.findings import Report, Stopwatch
from duologue.cli.check.judging import judge_certificate
from duologue.cli.check.plan import MAX_ADDRESSES, MAX_CONNECTIONS, Plan
from duologue.cli.check.through import Streams, reach_through

__all__ = ["Reach", "TooManyConnections"]

Address = tuple[int, Any]

_NO_WAY = {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class TooManyConnections(Exception):
    """The check has made as many connections as a check may make."""


class Reach:
    """The way to the endpoint.

    Args:
        plan: What is checked.
        report: Where findings go.
        clock: Tells the time that certificates are held against.
    """

    def __init__(
        self,
        plan: Plan,
        report: Report,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._plan = plan
        self._report = report
        self._clock = clock
        self._address: Address | None = None

    async def survey(self) -> bool:
        """Looks at each part of the way; tells whether it leads to the endpoint."""
        if self._plan.proxy is not None:
            if not await self._survey_proxy():
                return False
        else:
            addresses = await self._resolve()
            for address in addresses:
                await self._try(address, len(addresses) > 1)
            if self._address is None:
                return False
        if self._plan.tls is None:
            self._without_tls()
            return True
        return await self._survey_tls(self._plan.tls)

    async def streams(self) -> Streams:
        """Opens a connection the way that was found.

        Raises:
            OSError: If that fails now.
            ProxyError: If the proxy refuses now.
            TooManyConnections: If the check has had its share.
        """
        return await self._secure(await self._plain(), self._plan.tls)

    async def _plain(self) -> Streams:
        """Opens a connection to the endpoint, without TLS yet."""
        if self._plan.proxy is not None:
            self._count()
            return await reach_through(self._plan.proxy, self._plan)
        assert self._address is not None
        sock = await self._connect(self._address)
        return await asyncio.open_connection(sock=sock)

    async def _secure(self, streams: Streams, tls: ssl.SSLContext | None) -> Streams:
        reader, writer = streams
        if tls is not None:
            try:
                await writer.start_tls(
                    tls,
                    server_hostname=self._plan.uri.host,
                    ssl_handshake_timeout=self._plan.patience,
                )
            except BaseException:
                await discard(writer)
                raise
        return reader, writer

    async def _survey_proxy(self) -> bool:
        proxy = self._plan.proxy
        watch = Stopwatch()
        try:
            _, writer = await self._plain()
        except (OSError, ProxyError, ImportError) as error:
            why = explain.reason(error)
            if isinstance(error, InvalidProxyStatus) and error.response.status_code == 407:
                why += "; it wants credentials: --proxy http://USER:PASSWORD@HOST:PORT"
            self._report.problem("proxy", f"{proxy}: {why}", watch.seconds)
            return False
        await discard(writer)
        text = f"{proxy} leads to {self._plan.uri.host}:{self._plan.uri.port}"
        self._report.ok("proxy", text, watch.seconds, proxy=str(proxy))
        return True

    # -- addresses

    async def _resolve(self) -> list[Address]:
        uri = self._plan.uri
        watch = Stopwatch()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._plan.patience):
                found = await loop.getaddrinfo(uri.host, uri.port, type=socket.SOCK_STREAM)
        except OSError as error:
            if isinstance(error, TimeoutError):
                why = f"no answer within {self._plan.patience:g} s"
            else:
                why = explain.reason(error)
            self._report.problem("dns", f"{uri.host}: {why}", watch.seconds)
            return []
        addresses: list[Address] = list(dict.fromkeys((entry[0], entry[4]) for entry in found))
        shown = [str(address[1][0]) for address in addresses]
        families = sorted(
            {"IPv6" if family == socket.AF_INET6 else "IPv4" for family, _ in addresses}
        )
        text = f"{uri.host} is {', '.join(shown)}"
        if _is_address(uri.host):
            text = f"{uri.host} needs no name resolution"
        elif len(addresses) > MAX_ADDRESSES:
            text += f"; only the first {MAX_ADDRESSES} are tried"
        self._report.ok("dns", text, watch.seconds, addresses=shown, families=families)
        return addresses[:MAX_ADDRESSES]

    async def _try(self, address: Address, one_of_many: bool) -> None:
        name = _shown(address)
        watch = Stopwatch()
        try:
            sock = await self._connect(address)
        except OSError as error:
            text = f"{name}: {explain.reason(error)}"
            if one_of_many and (_is_loopback(address) or error.errno in _NO_WAY):
                # A name for this machine often has an address that nobody listens on.
                self._report.note("tcp", text, watch.seconds, address=name)
            else:
                self._report.problem("tcp", text, watch.seconds, address=name)
            return
        sock.close()
        self._report.ok("tcp", f"{name} accepts connections", watch.seconds, address=name)
        if self._address is None:
            self._address = address

    def _count(self) -> None:
        if self._report.sent.connections >= MAX_CONNECTIONS:
            raise TooManyConnections(f"a check makes at most {MAX_CONNECTIONS} connections")
        self._report.sent.connections += 1

    async def _connect(self, address: Address) -> socket.socket:
        self._count()
        family, target = address
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(self._plan.patience):
                await asyncio.get_running_loop().sock_connect(sock, target)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError as error:
            sock.close()
            if error.errno is not None:
                raise
            raise TimeoutError(f"no answer within {self._plan.patience:g} s") from None
        except BaseException:
            sock.close()
            raise
        return sock

    # -- TLS

    def _without_tls(self) -> None:
        text = "not used (ws): what is said can be read and changed on the way"
        if self._address is not None and _is_loopback(self._address):
            self._report.ok("tls", "not used (ws), which stays on this machine")
        else:
            self._report.note("tls", f"{text}; pages from https cannot connect")

    async def _survey_tls(self, tls: ssl.SSLContext) -> bool:
        watch = Stopwatch()
        try:
            streams = await self._plain()
            watch = Stopwatch()
            _, writer = await self._secure(streams, tls)
        except ssl.SSLCertVerificationError as error:
            text = explain.reason(error)
            self._report.problem("tls", text, watch.seconds, topics=("certificate",))
            await self._show_untrusted()
            return False
        except (OSError, ProxyError) as error:
            text = explain.reason(error)
            if isinstance(error, ssl.SSLError) and "VERSION" in (error.reason or ""):
                text += "; it may be that it doesn't speak TLS on this port (ws instead of wss)"
            self._report.problem("tls", text, watch.seconds)
            return False
        seconds = watch.seconds
        secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
        der, cipher = secured.getpeercert(True), (secured.cipher() or ("?",))[0]
        version, alpn = secured.version(), secured.selected_alpn_protocol()
        await discard(writer)
        text = f"{version}, {cipher}, ALPN {alpn or 'not used'}"
        self._report.ok("tls", text, seconds, version=version, cipher=cipher, alpn=alpn)
        judge_certificate(der, self._plan, self._report, self._clock())
        return True

    async def _show_untrusted(self) -> None:
        """Shows the certificate that was refused; nothing is sent to its owner."""
        blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        blind.check_hostname = False
        blind.verify_mode = ssl.CERT_NONE
        try:
            _, writer = await self._secure(await self._plain(), blind)
        except (OSError, ProxyError, TooManyConnections):
            return
        der = writer.get_extra_info("ssl_object").getpeercert(True)
        await discard(writer)
        judge_certificate(der, self._plan, self._report, self._clock())
        self._report.note("tls", "the rest was not checked: -k goes on without trust")


def _shown(address: Address) -> str:
    host, port = address[1][:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(address: Address) -> bool:
    return ipaddress.ip_address(address[1][0].partition("%")[0]).is_loopback
