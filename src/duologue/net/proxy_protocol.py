"""The PROXY protocol, versions 1 and 2: who really connects, told before the first octet.

A proxy in front (HAProxy, nginx's stream module, load balancers of clouds) begins each connection
with a preamble that names the client's address. :class:`Preamble` reads it, octets in, addresses
out; it never reads past the preamble.

Invariants: the outcome doesn't depend on how octets were split; nothing beyond 107 octets (version
1) or ``MAX_V2`` (version 2) is waited for; what isn't a preamble raises.

Source: "The PROXY protocol", HAProxy, 2020-03-05, sections 2.1 and 2.2 (TLS: 2.2.6).
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

__all__ = ["Addresses", "Preamble"]

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_V1 = 107
"""Octets of the longest line of version 1, its CRLF included."""
MAX_V2 = 16 + 4096
"""Octets of the longest preamble of version 2 that is read: no sender comes near."""

TLS = 0x20
"""Type of the entry about TLS."""
CLIENT_TLS = 1
"""Bit of its first octet: the client came over TLS."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a preamble says.

    Attributes:
        source: the client's address and port; ``None`` if the proxy speaks for itself (a health
            check), or for an address that isn't of TCP over IP.
        destination: where the client connected to; ``None`` likewise.
        secure: whether version 2 says that the client came over TLS, which ended at the proxy.
    """

    source: Address | None
    destination: Address | None
    secure: bool = False


class Preamble:
    """Reads one preamble.

    Attributes:
        rest: octets that came after it, once it is complete.
    """

    def __init__(self) -> None:
        self.rest = b""
        self._octets = b""

    def feed(self, data: bytes) -> Addresses | None:
        """Take octets.

        Args:
            data: the next octets.

        Returns:
            The addresses when the preamble is complete, else ``None``.

        Raises:
            ValueError: If this is no preamble.
        """
        self._octets += data
        octets = self._octets
        if octets[: len(SIGNATURE)] == SIGNATURE[: len(octets)]:
            return self._second() if len(octets) >= 16 else None
        if octets[:6] == b"PROXY "[: len(octets)]:
            return self._first()
        raise ValueError(f"no PROXY protocol preamble: {octets[:16]!r}")

    def _first(self) -> Addresses | None:
        end = self._octets.find(b"\r\n", 0, MAX_V1)
        if end < 0:
            if len(self._octets) >= MAX_V1:
                raise ValueError(f"a PROXY line has more than {MAX_V1} octets")
            return None
        line, self.rest = self._octets[:end], self._octets[end + 2 :]
        words = line.split(b" ")
        if words[1:2] == [b"UNKNOWN"]:
            return Addresses(None, None)
        if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
            raise ValueError(f"malformed PROXY line: {line!r}")
        kind = ipaddress.IPv4Address if words[1] == b"TCP4" else ipaddress.IPv6Address
        try:
            hosts = [str(kind(word.decode("ascii"))) for word in words[2:4]]
            ports = [_port(word) for word in words[4:]]
        except ValueError as exc:
            raise ValueError(f"malformed PROXY line: {line!r}") from exc
        return Addresses((hosts[0], ports[0]), (hosts[1], ports[1]))

    def _second(self) -> Addresses | None:
        command, family, length = struct.unpack_from("!BBH", self._octets, len(SIGNATURE))
        if command >> 4 != 2:
            raise ValueError(f"unknown version of the PROXY protocol: {command >> 4}")
        if command & 15 > 1:
            raise ValueError(f"unknown command of the PROXY protocol: {command & 15}")
        if 16 + length > MAX_V2:
            raise ValueError(f"a PROXY preamble of {16 + length} octets; {MAX_V2} are read")
        if len(self._octets) < 16 + length:
            return None
        body, self.rest = self._octets[16 : 16 + length], self._octets[16 + length :]
        size = {0x11: 4, 0x21: 16}.get(family)
        if command & 15 == 0 or size is None:
            return Addresses(None, None)
        if length < 2 * size + 4:
            raise ValueError(f"a PROXY preamble lacks octets of its addresses: {length}")
        hosts = [str(ipaddress.ip_address(body[at : at + size])) for at in (0, size)]
        ports = struct.unpack_from("!HH", body, 2 * size)
        secure = _came_over_tls(body[2 * size + 4 :])
        return Addresses((hosts[0], ports[0]), (hosts[1], ports[1]), secure)


def _came_over_tls(entries: bytes) -> bool:
    """Look for the entry about TLS; what is malformed from there on tells nothing."""
    while len(entries) >= 3:
        kind, length = struct.unpack_from("!BH", entries)
        value, entries = entries[3 : 3 + length], entries[3 + length :]
        if kind == TLS and value:
            return bool(value[0] & CLIENT_TLS)
    return False


def _port(word: bytes) -> int:
    if not word.isdigit() or len(word) > 5 or (len(word) > 1 and word[:1] == b"0"):
        raise ValueError("malformed port")
    port = int(word)
    if port > 65535:
        raise ValueError("port out of range")
    return port
