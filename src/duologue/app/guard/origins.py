"""Which pages may connect, and under which names the server answers.

Browsers let any page open a WebSocket to any site, with that site's cookies; only the server can
tell them apart, by ``Origin`` (RFC 6455 section 10.2). A page that made its own name point to this
machine ("DNS rebinding") is of the same origin as far as anybody can tell, except by the name.

Pure decisions over text from the peer; a rule that cannot be read is an error when it is made.

Sources: RFC 6454 sections 4 to 7 (origins), RFC 9110 section 7.2 (Host).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_is_origin = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^/?#@:\[\]\s\\]*)(?::([0-9]{1,5}))?"
).fullmatch
_is_pattern = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:\*\.)?(\[[0-9a-f:.]+\]|[^/?#@:*\[\]\s\\]*)(?::(?:[0-9]{1,5}|\*))?"
).fullmatch
_is_host = re.compile(r"(\[[0-9a-f:.]+\]|[^/?#@:\[\]\s\\]+)(?::([0-9]{1,5}))?").fullmatch
_is_host_pattern = re.compile(
    r"(?:\*\.)?(\[[0-9a-f:.]+\]|[^/?#@:*\[\]\s\\]+)(?::(?:[0-9]{1,5}|\*))?"
).fullmatch

_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}

OriginRule = str | re.Pattern[str] | None
Origins = str | re.Pattern[str] | Iterable[OriginRule]
Hosts = str | re.Pattern[str] | Iterable[str | re.Pattern[str]]


def _split_origin(origin: str) -> tuple[str, str, str] | None:
    """Scheme, host and port of an origin, ``None`` for what is none (``null``)."""
    found = _is_origin(origin.lower())
    if found is None:
        return None
    scheme, host, port = found.groups()
    return scheme, host, str(int(port)) if port else _PORTS.get(scheme, "")


def split_host(host: str) -> tuple[str, str] | None:
    """Name and port of a ``Host`` header, the port empty if it has none; ``None`` if malformed."""
    found = _is_host(host.lower())
    if found is None:
        return None
    name, port = found.groups()
    return name.rstrip("."), str(int(port)) if port else ""


def is_same_origin(origin: str, scheme: str, host: str) -> bool:
    """Whether a page is of the site that it connects to.

    Args:
        origin: value of ``Origin``.
        scheme: ``"http"`` or ``"https"``: how the client reached us, as far as we know.
        host: value of ``Host``, or what a trusted proxy says it was.

    Returns:
        True also for a page over TLS where we know of none, if name and written port agree: a proxy
        in front ended TLS, since browsers keep such pages from connecting without it.
    """
    page, site = _split_origin(origin), split_host(host)
    if page is None or site is None or page[1].rstrip(".") != site[0]:
        return False
    if page[0] == scheme:
        return page[2] == (site[1] or _PORTS.get(scheme, ""))
    return (page[0], scheme) == ("https", "http") and page[2] == (site[1] or "443")


def _with_wildcards(text: str) -> re.Pattern[str]:
    """A pattern for ``*.`` before a name and ``:*`` behind it."""
    escaped = re.escape(text)
    escaped = escaped.replace(r"\*\.", "(?:[a-z0-9_-]+[.])+", 1)
    if text.endswith(":*"):
        escaped = escaped.removesuffix(r":\*") + r"(?::[0-9]+)?"
    return re.compile(escaped)


def _listed(rules: object) -> Sequence[object]:
    if isinstance(rules, str | re.Pattern):
        return [rules]
    if not isinstance(rules, Iterable):
        raise TypeError(f"expected a list of strings and patterns, not {rules!r}")
    return list(rules)


class OriginRules:
    """The pages that may connect besides those of the same origin.

    Args:
        rules: exact origins (``"https://example.com"``), wildcards for the names below one
            (``"https://*.example.com"``) and any port (``"http://localhost:*"``), compiled
            patterns (matched against the whole), ``"null"`` for pages without an origin; ``"*"``
            for all.

    Raises:
        TypeError: If a rule is neither text nor a pattern.
        ValueError: If it isn't an origin.
    """

    def __init__(self, rules: Origins = ()) -> None:
        self.any = False
        self._exact: set[object] = set()
        self._patterns: list[re.Pattern[str]] = []
        for rule in _listed(rules):
            # None is for requests without an origin, as in serve(); they always pass.
            if isinstance(rule, re.Pattern):
                self._patterns.append(rule)
            elif isinstance(rule, str):
                self._add(rule)
            elif rule is not None:
                raise TypeError(f"origins must be strings or compiled patterns, not {rule!r}")

    def _add(self, rule: str) -> None:
        lowered = rule.lower()
        if lowered == "*":
            self.any = True
        elif lowered == "null":
            self._exact.add("null")
        elif _is_pattern(lowered) is None:
            raise ValueError(
                f"not an origin: {rule!r}; write scheme, host and port only, as in "
                f"'https://example.com' or 'https://*.example.com:8443'"
            )
        elif "*" in lowered:
            self._patterns.append(_with_wildcards(lowered))
        else:
            self._exact.add(_split_origin(lowered))

    def allow(self, origin: str) -> bool:
        """Whether pages of an origin may connect."""
        if self.any:
            return True
        parts = _split_origin(origin)
        if (parts or origin) in self._exact:
            return True
        candidates = {origin, origin.lower()}
        return any(one.fullmatch(text) for one in self._patterns for text in candidates)


class HostRules:
    """The names that the server answers to.

    Args:
        rules: names (``"example.com"``), with a port if only that one is meant, wildcards for the
            names below one (``"*.example.com"``), compiled patterns (matched against the whole
            value); ``"*"`` for all.

    Raises:
        TypeError: If a rule is neither text nor a pattern.
        ValueError: If it isn't a host.
    """

    def __init__(self, rules: Hosts) -> None:
        self.any = False
        self._exact: set[tuple[str, str]] = set()
        self._patterns: list[re.Pattern[str]] = []
        for rule in _listed(rules):
            if isinstance(rule, re.Pattern):
                self._patterns.append(rule)
            elif isinstance(rule, str):
                self._add(rule)
            else:
                raise TypeError(f"allowed_hosts must be strings or patterns, not {rule!r}")

    def _add(self, rule: str) -> None:
        lowered = rule.lower()
        if lowered == "*":
            self.any = True
            return
        if _is_host_pattern(lowered) is None:
            raise ValueError(f"not a host: {rule!r}; write 'example.com' or '*.example.com:8443'")
        if "*" in lowered:
            every_port = "" if re.search(r":[0-9*]+$", lowered) else ":*"
            self._patterns.append(_with_wildcards(lowered + every_port))
        else:
            name, port = split_host(lowered) or ("", "")
            self._exact.add((name, port))

    def allow(self, host: str) -> bool:
        """Whether a request for this host is meant for us."""
        if self.any:
            return True
        site = split_host(host)
        if site is None:
            return False
        if (site[0], "") in self._exact or site in self._exact:
            return True
        text = f"{site[0]}:{site[1]}" if site[1] else site[0]
        return any(one.fullmatch(text) for one in self._patterns)
