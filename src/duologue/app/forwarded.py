"""Who is really there: ``Forwarded`` and ``X-Forwarded-*`` of proxies that are trusted.

Pure. Anybody can send these headers, so they count only if the peer of the connection is trusted,
and of the addresses only those that trusted proxies added: from the right, up to the first that
isn't trusted.

Sources: RFC 7239; MDN on X-Forwarded-For.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from duologue.wire.headers import Headers

__all__ = ["Forwarded", "TrustedProxies"]

_FIELDS = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded")

MAX_HOPS = 32
"""Proxies in a row that are looked at."""

_pair = re.compile(r'\s*([-!#$%&\'*+.^_`|~0-9A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^",;]*)\s*')


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What trusted proxies say.

    Attributes:
        client: the client's address; the port is 0 if they don't say. ``None`` if they don't say
            at all.
        scheme: "http" or "https"; ``None`` if they don't say.
        host: as the client wrote it, with the port if it did; ``None`` if they don't say.
    """

    client: tuple[str, int] | None = None
    scheme: str | None = None
    host: str | None = None


class TrustedProxies:
    """Decides whose headers count.

    Args:
        allowed: addresses (``"127.0.0.1"``), networks (``"10.0.0.0/8"``), ``"*"`` for any,
            ``"unix"`` for peers on Unix sockets; a str of several is separated by commas.
        setting: where they are set, for the error.

    Raises:
        ValueError: If one is neither.
    """

    def __init__(self, allowed: str | Iterable[str], setting: str = "forwarded_allow_ips") -> None:
        entries = allowed.split(",") if isinstance(allowed, str) else list(allowed)
        entries = [entry.strip() for entry in entries if entry.strip()]
        self._all = "*" in entries
        self._unix = "unix" in entries
        self._networks = []
        for entry in entries:
            if entry in ("*", "unix"):
                continue
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                raise ValueError(
                    f"{setting} has {entry!r}, which is neither an IP address nor a "
                    "network such as 10.0.0.0/8, nor '*', nor 'unix'"
                ) from None

    @staticmethod
    def concern(headers: Headers) -> bool:
        """Whether there is anything to believe; mostly there is not, and no address to read."""
        return any(name in headers for name in _FIELDS)

    def trusts(self, host: str | None) -> bool:
        """Whether headers of this peer count.

        Args:
            host: its address; ``None`` for a Unix socket.
        """
        if self._all:
            return True
        if host is None:
            return self._unix
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def read(self, headers: Headers) -> Forwarded:
        """Read the headers of a request that came from a trusted peer.

        ``Forwarded`` goes before ``X-Forwarded-*``. What is malformed is as if it weren't there.
        """
        if "Forwarded" in headers:
            return self._standard(",".join(headers.get_all("Forwarded")))
        hops = [hop.strip() for hop in ",".join(headers.get_all("X-Forwarded-For")).split(",")]
        chosen, _ = self._choose(hops)
        return Forwarded(
            chosen,
            _scheme(_last(headers.get_all("X-Forwarded-Proto"))),
            _host(_last(headers.get_all("X-Forwarded-Host"))),
        )

    def _standard(self, value: str) -> Forwarded:
        elements = _elements(value)
        if not elements:
            return Forwarded()
        chosen, index = self._choose([element.get("for", "") for element in elements])
        # The same proxy that names the client knows how it came; else the one next to us.
        element = elements[index]
        return Forwarded(chosen, _scheme(element.get("proto")), _host(element.get("host")))

    def _choose(self, hops: list[str]) -> tuple[tuple[str, int] | None, int]:
        """The client's address and which of the hops it is: the last that isn't trusted."""
        chosen, at = None, len(hops) - 1
        for index in range(len(hops) - 1, max(-1, len(hops) - 1 - MAX_HOPS), -1):
            address = _address(hops[index])
            if address is None:
                # Beyond what can't be read nothing can be believed.
                break
            chosen, at = address, index
            if not self.trusts(address[0]):
                break
        return chosen, at


def _last(values: list[str]) -> str | None:
    """The entry nearest to us, which a trusted peer wrote."""
    return values[-1].rpartition(",")[2].strip() if values else None


def _scheme(value: str | None) -> str | None:
    found = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
    return found.get((value or "").lower())


_is_host = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[-0-9A-Za-z._~]+)(?::[0-9]{1,5})?").fullmatch


def _host(value: str | None) -> str | None:
    return value if value and _is_host(value) else None


def _address(text: str) -> tuple[str, int] | None:
    """Read ``1.2.3.4``, ``1.2.3.4:5``, ``::1``, ``[::1]`` or ``[::1]:5``."""
    host, port = text, "0"
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return None
        port = port[1:] or "0"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        return None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        return None
    return address, int(port)


def _elements(value: str) -> list[dict[str, str]]:
    """Split ``Forwarded``; empty if it is malformed anywhere."""
    elements: list[dict[str, str]] = [{}]
    at = 0
    while at < len(value):
        found = _pair.match(value, at)
        if found is None:
            return []
        text = found[2]
        if text.startswith('"'):
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        elements[-1][found[1].lower()] = text.strip()
        at = found.end()
        if at < len(value):
            if value[at] == ",":
                elements.append({})
            elif value[at] != ";":
                return []
            at += 1
    return elements
