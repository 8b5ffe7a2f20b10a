"""Which pages may open WebSockets: the rules of ``--origin`` and ``--sameorigin``.

An ``Origin`` header that is absent counts as ``file:``, and so does ``null`` unless there is a list
of origins. One that isn't an absolute URI is always refused.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

__all__ = ["OriginRule", "check", "is_local_name", "read_origins", "split_host"]

_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?[^\s]*", re.ASCII)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@\s]*)(?::([0-9]*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class OriginRule:
    """One entry of ``--origin``; ``None`` is any."""

    host: str
    scheme: str | None = None
    port: str | None = None


def split_host(authority: str) -> tuple[str, str] | None:
    """Splits ``host[:port]``.

    Returns:
        Host in lower case and port, empty if there is none; ``None`` if it is neither.
    """
    found = _AUTHORITY.fullmatch(authority)
    return (found[1].lower(), found[2] or "") if found else None


def read_origins(text: str) -> tuple[OriginRule, ...]:
    """Reads ``--origin``.

    Args:
        text: ``[scheme://]host[:port]``, several with commas between.

    Raises:
        ValueError: If an entry isn't of that form.
    """
    rules = []
    for entry in text.split(","):
        scheme, separator, rest = entry.strip().rpartition("://")
        parts = split_host(rest.rstrip("/"))
        if parts is None or not parts[0]:
            raise ValueError(f"--origin wants [scheme://]host[:port], not '{entry}'.")
        rules.append(OriginRule(parts[0], scheme.lower() if separator else None, parts[1] or None))
    return tuple(rules)


def check(
    origin: str | None,
    host: str,
    *,
    tls: bool,
    same: bool,
    rules: tuple[OriginRule, ...] | None,
    guarded: bool = False,
) -> str | None:
    """Judges a request to open a WebSocket.

    Args:
        origin: Its ``Origin`` header; ``None`` if it has none.
        host: Its ``Host`` header.
        tls: Whether it came over TLS.
        same: Whether ``--sameorigin`` holds.
        rules: Those of ``--origin``; ``None`` if it isn't given.
        guarded: Whether pages must be of the same origin, but no ``Origin`` will do.

    Returns:
        Why it is refused, as the log says it; ``None`` if it isn't.
    """
    absent = origin is None or origin == ""
    if guarded and absent:
        return None
    if absent or (origin == "null" and rules is None):
        origin = "file:"
    assert origin is not None
    found = _ABSOLUTE.fullmatch(origin)
    if found is None:
        return f'Origin parsing error: parse "{origin}": invalid URI for request'
    scheme = found[1].lower()
    parts = split_host((found[2] or "").rpartition("@")[2])
    if parts is None:
        return f"Origin hostname parsing error: {origin}"
    there = parts[0], parts[1] or _PORTS.get(scheme, "")
    if same or guarded:
        ours = split_host(host)
        if ours is None:
            return f"Request hostname parsing error: {host}"
        if there != (ours[0], ours[1] or ("443" if tls else "80")):
            return "Same origin policy mismatch"
    if rules is not None and not any(_matches(rule, scheme, *there) for rule in rules):
        return "Origin is not listed in allowed list"
    return None


def _matches(rule: OriginRule, scheme: str, host: str, port: str) -> bool:
    return rule.host == host and rule.scheme in (None, scheme) and rule.port in (None, port)


def is_local_name(host: str) -> bool:
    """Tells whether a ``Host`` header names this machine in a way that no DNS server decides.

    A page whose name is made to resolve to the loopback address (DNS rebinding) is of the same
    origin as what it then talks to; only the name tells.
    """
    parts = split_host(host)
    if parts is None:
        return False
    name = parts[0].strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
