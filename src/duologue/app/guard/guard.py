"""Who may open a connection: the rules of an application and of its routes, as one decision.

A :class:`Guard` is asked once for each request, before anything is answered. It looks at the host,
at the page's origin, at how many connections there are and how fast they come, and gives an
:class:`Admission`, to be released when the connection is gone, or a :class:`Refusal`, whose log
line says which rule it was and what to paste, and whose answer to the peer says neither.

It must never know sockets, tasks or time: the caller says what time it is.

Invariants: what was admitted is counted until its release, once; what was refused counts nowhere;
no table is larger than the number of open connections, or :data:`~.buckets.MOST_KEYS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Self

from duologue.app.guard.addresses import client_key, is_loopback
from duologue.app.guard.buckets import Buckets
from duologue.app.guard.origins import (
    HostRules,
    Hosts,
    OriginRules,
    Origins,
    is_same_origin,
    split_host,
)
from duologue.app.guard.quotas import Admission, Quota, Refusal
from duologue.base.rates import Rate
from duologue.base.types import LoggerLike
from duologue.wire.http11 import Request

__all__ = ["Admission", "Facts", "Guard", "Refusal"]

Key = str | Callable[[Request], str | None]
RateOption = Rate | float | None

# Longer keys are kept as their hashes.
_LONGEST_KEY = 64
# Refusals in the log: a flood of them must not fill a disk.
_LOGGED = Rate(1, burst=20)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a guard judges.

    Attributes:
        request: the request's head.
        scheme: ``"http"`` or ``"https"``, as a trusted proxy reports it.
        host: the host that the client asked for: that of a trusted proxy, or the ``Host`` header.
        client: the client's address, ``None`` for a Unix socket.
        server: the server's address.
        upgrade: whether it wants to become a WebSocket connection.
    """

    request: Request
    scheme: str
    host: str | None
    client: str | None
    server: str | None
    upgrade: bool

    @classmethod
    def of(cls, exchange: Any, host: str | None = None) -> Self:
        """Take them from an exchange; ``host`` is what a trusted proxy says the host was."""
        hosts = exchange.request.headers.get_all("Host")
        return cls(
            exchange.request,
            exchange.scheme,
            host or (hosts[0] if len(hosts) == 1 else None),
            exchange.client[0] if exchange.client else None,
            exchange.server[0] if exchange.server else None,
            exchange.asks_upgrade,
        )


class Guard:
    """The rules of an application, or of one of its routes.

    Args:
        origins: pages that may connect besides those of the same origin and clients that are no
            browsers: see :class:`OriginRules`. ``"*"`` for all, also those without an origin
            (``null``).
        allowed_hosts: names that the server answers to, see :class:`HostRules`; ``"*"`` for any.
            By default any, but a page that reaches the server on this very machine must have come
            by a name for this machine.
        max_connections: open at once; ``None`` for any number, as in all that follow.
        max_connections_per_client: the same from one address; IPv6 addresses count by their /64.
        max_connections_per_key: the same with one value of ``key``.
        key: name of a header, or function from the request to text; requests for which it is
            ``None`` have no key, and no limit by it.
        connect_rate: how fast connections may come: :class:`~duologue.Rate`, or a number a second.
        connect_rate_per_client: the same from one address.
        connect_rate_per_key: the same with one value of ``key``.
        setting: where these are set, as log lines name it.
        parent: the guard whose rules hold as well; see :meth:`narrowed`.

    Raises:
        TypeError: If an option has the wrong type.
        ValueError: If an option has a value that it can't have, or needs ``key``.
    """

    def __init__(
        self,
        *,
        origins: Origins | None = None,
        allowed_hosts: Hosts | None = None,
        max_connections: int | None = None,
        max_connections_per_client: int | None = None,
        max_connections_per_key: int | None = None,
        key: Key | None = None,
        connect_rate: RateOption = None,
        connect_rate_per_client: RateOption = None,
        connect_rate_per_key: RateOption = None,
        setting: str = "App",
        parent: Guard | None = None,
    ) -> None:
        self._parent = parent
        self._setting = setting
        self._origins: OriginRules
        self._hosts: HostRules | None
        self._key: Key | None
        if origins is None:
            self._origins = OriginRules() if parent is None else parent._origins
        else:
            self._origins = OriginRules(origins)
        if allowed_hosts is None:
            self._hosts = None if parent is None else parent._hosts
        else:
            self._hosts = HostRules(allowed_hosts)
        self._key = parent._key if key is None and parent is not None else key
        if self._key is None and (max_connections_per_key, connect_rate_per_key) != (None, None):
            raise ValueError("limits per key need key=, a header's name or a function")
        self._quotas = [
            self._quota("", "", max_connections, connect_rate),
            self._quota(
                "_per_client", " of one client", max_connections_per_client, connect_rate_per_client
            ),
            self._quota("_per_key", " of one key", max_connections_per_key, connect_rate_per_key),
        ]
        self._log_gate = Buckets(_LOGGED)
        self._unlogged = 0

    def _quota(self, suffix: str, whose: str, most: int | None, rate: RateOption) -> Quota | None:
        if most is not None and (isinstance(most, bool) or not isinstance(most, int)):
            raise TypeError(f"max_connections{suffix} must be an integer or None, not {most!r}")
        if most is not None and most < 1:
            raise ValueError(f"max_connections{suffix} must be above 0, not {most}")
        if most is None and rate is None:
            return None
        return Quota(suffix, whose, most, Rate.of(rate), self._setting)

    def narrowed(self, *, setting: str, **options: Any) -> Guard:
        """Make the guard of a part of the application.

        Args:
            setting: where the options are set.
            **options: those of :class:`Guard`. ``origins``, ``allowed_hosts`` and ``key`` stand in
                place of this guard's; numbers of connections and rates hold besides.
        """
        return Guard(setting=setting, parent=self, **options)

    def admit(self, facts: Facts, now: float) -> Admission | Refusal:
        """Judge a request.

        Args:
            facts: about the request; of one that is no handshake only the host is judged.
            now: seconds of any clock that never goes back, the same in all calls.
        """
        refusal = self._judge_host(facts)
        if not facts.upgrade:
            return refusal or Admission([])
        refusal = refusal or self._judge_origin(facts)
        if refusal is not None:
            return refusal
        wanted: list[tuple[Quota, Hashable]] = []
        guard: Guard | None = self
        while guard is not None:
            wanted += guard._quotas_of(facts)
            guard = guard._parent
        for quota, key in wanted:
            refusal = quota.judge(key, now)
            if refusal is not None:
                return refusal
        for quota, key in wanted:
            quota.enter(key, now)
        return Admission(wanted)

    def log(self, logger: LoggerLike, facts: Facts, refusal: Refusal, now: float) -> None:
        """Write down a refusal; of a flood only some, with the number of those left out."""
        if self._parent is not None:
            return self._parent.log(logger, facts, refusal, now)
        if self._log_gate.wait(None, now) > 0:
            self._unlogged += 1
            return None
        self._log_gate.take(None, now)
        more = f" ({self._unlogged} more refusals were not logged)" if self._unlogged else ""
        self._unlogged = 0
        who = facts.client or "a Unix socket"
        logger.warning("refused %s with %d: %s%s", who, refusal.status, refusal.log, more)
        return None

    # -- rules

    def _judge_host(self, facts: Facts) -> Refusal | None:
        host = facts.host or ""
        if self._hosts is not None:
            allowed = self._hosts.allow(host)
        else:
            allowed = not (
                facts.upgrade
                and "Origin" in facts.request.headers
                and is_loopback(facts.client)
                and is_loopback(facts.server)
                and not is_loopback((split_host(host) or (host,))[0])
            )
        if allowed:
            return None
        name = (split_host(host) or (host, ""))[0][:255]
        why = "is none of this server's names" if self._hosts else "is no name of this machine"
        paste = f"allowed_hosts=[{name!r}]"
        return self._forbid("allowed_hosts", f"host {host[:255]!r} {why}", paste)

    def _judge_origin(self, facts: Facts) -> Refusal | None:
        lines = facts.request.headers.get_all("Origin")
        if not lines:
            return None
        origin = lines[0]
        if len(lines) == 1:
            if facts.host and origin == f"{facts.scheme}://{facts.host}":
                # Nearly always, and without taking both apart.
                return None
            if self._origins.allow(origin):
                return None
            if facts.host and is_same_origin(origin, facts.scheme, facts.host):
                return None
        shown = origin[:255]
        what = f"origin {shown!r} is foreign to {facts.scheme}://{facts.host}"
        return self._forbid("origins", what, f"origins=[{shown!r}]")

    def _forbid(self, rule: str, what: str, paste: str) -> Refusal:
        log = f"{what}; to allow it, add {paste} to {self._setting}"
        return Refusal(403, "Forbidden.\n", rule, log)

    def _quotas_of(self, facts: Facts) -> list[tuple[Quota, Hashable]]:
        in_all, per_client, per_key = self._quotas
        found: list[tuple[Quota, Hashable]] = []
        if in_all is not None:
            found.append((in_all, None))
        client = None if per_client is None else client_key(facts.client)
        if per_client is not None and client is not None:
            found.append((per_client, client))
        key = None if per_key is None else self._read_key(facts.request)
        if per_key is not None and key is not None:
            found.append((per_key, key))
        return found

    def _read_key(self, request: Request) -> str | None:
        if callable(self._key):
            key = self._key(request)
        else:
            assert self._key is not None
            key = next(iter(request.headers.get_all(self._key)), None)
        if key is not None and len(key) > _LONGEST_KEY:
            return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return key
