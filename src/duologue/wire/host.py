"""The host of a WHATWG URL: a domain, an IPv4 address in any notation, or an IPv6 address.

Only what special schemes such as ws need; there is no opaque host. It must never look up a name.

Invariants:
    * `parse_host` returns a host that parses to itself;
    * an address is an address, however it is written: whatever ends in a number is IPv4 or fails.

Sources: WHATWG URL Standard section 3.5 ("host parsing") and 3.6 ("host serializing").
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

from duologue.wire.idna import domain_to_ascii

__all__ = ["parse_host"]

# Forbidden domain code points: forbidden host code points, C0 controls, % and DEL.
_forbidden = re.compile(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f]")
_is_ipv6 = re.compile(r"[0-9A-Fa-f:.]+").fullmatch
_is_octal = re.compile(r"[0-7]+").fullmatch
_is_decimal = re.compile(r"[0-9]+").fullmatch
_is_hexadecimal = re.compile(r"[0-9A-Fa-f]+").fullmatch


def parse_host(text: str) -> str:
    """Parse and normalize a host (WHATWG "host parser" with isOpaque false).

    Args:
        text: Host as it stands in the URL, perhaps percent-encoded.

    Returns:
        The serialized host: a lower-case ASCII domain, a dotted IPv4 address, or an IPv6 address
        in brackets.

    Raises:
        ValueError: If it is not a host.
    """
    if text.startswith("["):
        if not text.endswith("]"):
            raise ValueError("IPv6 address without closing bracket")
        return f"[{_write_ipv6(_read_ipv6(text[1:-1]))}]"
    domain = domain_to_ascii(urllib.parse.unquote(text, "utf-8", "replace"))
    if not domain:
        raise ValueError("empty host")
    if found := _forbidden.search(domain):
        raise ValueError(f"host contains {found.group()!r}")
    if _ends_in_number(domain):
        return str(ipaddress.IPv4Address(_read_ipv4(domain)))
    return domain


def _read_ipv6(text: str) -> int:
    # ipaddress also takes zone identifiers, which a URL's host cannot have.
    if _is_ipv6(text) is None:
        raise ValueError(f"invalid IPv6 address: {text!r}")
    try:
        return int(ipaddress.IPv6Address(text))
    except ipaddress.AddressValueError:
        raise ValueError(f"invalid IPv6 address: {text!r}") from None


def _write_ipv6(address: int) -> str:
    """Write an address with its first longest run of zero pieces compressed (RFC 5952).

    ipaddress writes IPv4-mapped addresses with dots in some versions of Python.
    """
    pieces = [f"{address >> shift & 0xFFFF:x}" for shift in range(112, -1, -16)]
    start = length = 0
    for index in range(8):
        run = 0
        while index + run < 8 and pieces[index + run] == "0":
            run += 1
        if run > length:
            start, length = index, run
    if length < 2:
        return ":".join(pieces)
    return f"{':'.join(pieces[:start])}::{':'.join(pieces[start + length :])}"


def _ends_in_number(domain: str) -> bool:
    parts = domain.split(".")
    if not parts[-1]:
        if len(parts) == 1:
            return False
        parts.pop()
    last = parts[-1]
    return _is_decimal(last) is not None or _read_number(last) is not None


def _read_ipv4(text: str) -> int:
    """Read one to four numbers; the last one fills all octets that are left."""
    parts = text.split(".")
    if not parts[-1]:
        parts.pop()
    numbers = [_read_number(part) for part in parts]
    last = numbers.pop()
    if len(numbers) > 3 or last is None or last >= 256 ** (4 - len(numbers)):
        raise ValueError(f"invalid IPv4 address: {text!r}")
    address = last
    for index, number in enumerate(numbers):
        if number is None or number > 255:
            raise ValueError(f"invalid IPv4 address: {text!r}")
        address += number << (24 - 8 * index)
    return address


def _read_number(text: str) -> int | None:
    """Read a number as C does: 0x is hexadecimal, 0 octal. None if it is not one."""
    if not text:
        return None
    if text[:2] in ("0x", "0X"):
        digits, base, valid = text[2:], 16, _is_hexadecimal
    elif text[0] == "0" and len(text) > 1:
        digits, base, valid = text[1:], 8, _is_octal
    else:
        digits, base, valid = text, 10, _is_decimal
    if not digits:
        return 0
    if valid(digits) is None:
        return None
    # Python refuses to convert thousands of decimal digits; far fewer exceed an address.
    significant = digits.lstrip("0")
    return int(significant[:20] or "0", base)
