"""Who counts as one client: an address as servers see it, turned into a key for tables.

One household or one rented server has a whole IPv6 /64 (RFC 6177, RFC 4291 section 2.5.1), so its
addresses count as one; an IPv4 address inside IPv6 (RFC 4291 section 2.5.5.2) counts as the IPv4
address. Pure; knows nothing of sockets.
"""

from __future__ import annotations

import ipaddress

# What isn't an address (a test client's name, say) is cut, for keys must not take memory.
_LONGEST = 64


def client_key(address: str | None) -> str | None:
    """Return what an address counts as.

    Args:
        address: as in ``socket.getpeername``, zone included; ``None`` or empty for a Unix socket.

    Returns:
        An IPv4 address, an IPv6 network such as ``2001:db8:1:2::/64``, or ``None``: who comes over
        a Unix socket is not told apart.
    """
    if not address:
        return None
    if ":" not in address:
        return address[:_LONGEST]
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:_LONGEST]
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"


def is_loopback(address: str | None) -> bool:
    """Whether an address, or a host name as URLs have it, is this machine's own.

    ``localhost`` and the names below it never leave the machine (RFC 6761 section 6.3).
    """
    if not address:
        return False
    name = address.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if not name.startswith(("127.", ":", "0")):
        # No such address begins otherwise, and asking takes microseconds.
        return False
    try:
        parsed = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
