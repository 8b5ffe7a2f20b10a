"""Preambles of the PROXY protocol, whole, in pieces and malformed."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from duologue.net.proxy_protocol import MAX_V2, SIGNATURE, Addresses, Preamble

V4 = Addresses(("192.0.2.1", 56324), ("198.51.100.2", 443))
V6 = Addresses(("2001:db8::1", 4124), ("2001:db8::2", 443))


def second(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


FOUR = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 56324, 443)
SIX = (
    bytes.fromhex("20010db8000000000000000000000001")
    + bytes.fromhex("20010db8000000000000000000000002")
    + struct.pack("!HH", 4124, 443)
)
TLV = b"\x04\x00\x03abc"
OVER_TLS = b"\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"
WITHOUT_TLS = b"\x20\x00\x05\x00\x00\x00\x00\x00"

GOOD = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", V4),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 4124 443\r\n", V6),
    (b"PROXY UNKNOWN\r\n", Addresses(None, None)),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", Addresses(None, None)),
    (second(0x21, 0x11, FOUR), V4),
    (second(0x21, 0x11, FOUR + TLV), V4),
    (second(0x21, 0x21, SIX), V6),
    (second(0x21, 0x11, FOUR + TLV + OVER_TLS), replace(V4, secure=True)),
    (second(0x21, 0x21, SIX + OVER_TLS + TLV), replace(V6, secure=True)),
    (second(0x21, 0x11, FOUR + WITHOUT_TLS), V4),
    (second(0x21, 0x11, FOUR + b"\x20\x00\x00"), V4),
    (second(0x21, 0x11, FOUR + b"\x04\xff\xff" + OVER_TLS), V4),
    (second(0x20, 0x11, FOUR + OVER_TLS), Addresses(None, None)),
    (second(0x20, 0x00, b""), Addresses(None, None)),
    (second(0x20, 0x11, FOUR), Addresses(None, None)),
    (second(0x21, 0x31, bytes(216)), Addresses(None, None)),
    (second(0x21, 0x12, FOUR), Addresses(None, None)),
]


@pytest.mark.parametrize(("octets", "expected"), GOOD)
def test_good_ones_at_every_split(octets: bytes, expected: Addresses) -> None:
    for rest in (b"", b"GET / HTTP/1.1\r\n"):
        whole = octets + rest
        for at in range(len(octets)):
            preamble = Preamble()
            assert preamble.feed(whole[:at]) is None
            assert preamble.feed(whole[at:]) == expected
            assert preamble.rest == rest


def test_octet_by_octet() -> None:
    for octets, expected in GOOD:
        preamble = Preamble()
        outcomes = [preamble.feed(octets[at : at + 1]) for at in range(len(octets))]
        assert outcomes == [None] * (len(octets) - 1) + [expected]


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXX",
        b"PROXY\r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP5 192.0.2.1 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 7\r\n",
        b"PROXY TCP4 192.0.2.1  198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 2001:db8::2 56324 443\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 056 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
        b"PROXY TCP4 \xff 198.51.100.2 1 443\r\n",
        b"PROXY UNKNOWN " + b"x" * 100,
        second(0x11, 0x11, FOUR),
        second(0x22, 0x11, FOUR),
        second(0x21, 0x11, FOUR[:-1]),
        second(0x21, 0x21, FOUR),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, MAX_V2),
        SIGNATURE[:-1] + b"\r",
    ],
)
def test_bad_ones_at_every_split(octets: bytes) -> None:
    for at in range(len(octets)):
        preamble = Preamble()
        with pytest.raises(ValueError, match="PROXY"):
            for part in (octets[:at], octets[at:]):
                assert preamble.feed(part) is None
