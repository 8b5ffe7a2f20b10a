"""How many connections, and how fast: numbers that count, and what is said when they don't allow.

A :class:`Quota` counts connections by key: all of them under one, or a client's, or those of a key
that the application chose. It must never know what a key means, sockets or time.

Invariants: what entered is counted until it leaves; what was refused counts nowhere; there is an
entry for each key of an open connection and for no other.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

from duologue.app.guard.buckets import Buckets
from duologue.base.rates import Rate

__all__ = ["Admission", "Quota", "Refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that a rule forbids.

    Attributes:
        status: 403 (host, origin), 429 (this client) or 503 (all clients together).
        body: short text for the peer, which doesn't say which rule it was.
        rule: name of the setting.
        log: one line for those who run the server: the rule, its value, and what to paste.
        retry_after: seconds after which to come again, ``None`` if that won't help.
    """

    status: int
    body: str
    rule: str
    log: str
    retry_after: int | None = None

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Header fields of the answer."""
        fields = [("Content-Type", "text/plain; charset=utf-8")]
        if self.retry_after is not None:
            fields.append(("Retry-After", str(self.retry_after)))
        return fields


class Admission:
    """A connection that was let in and counts until :meth:`release`."""

    __slots__ = ("_counted",)

    def __init__(self, counted: list[tuple[Quota, Hashable]]) -> None:
        self._counted = counted

    @property
    def counts(self) -> bool:
        """Whether there is anything to release."""
        return bool(self._counted)

    def release(self) -> None:
        """The connection is gone; releasing again changes nothing."""
        counted, self._counted = self._counted, []
        for quota, key in counted:
            quota.leave(key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Quota:
    """How many connections of each key, and how fast they may come.

    Args:
        suffix: completes the names of the settings: ``""``, ``"_per_client"`` or ``"_per_key"``.
        whose: the same in words.
        most: connections open at once, ``None`` for any number.
        rate: of new ones, ``None`` for any.
        setting: where both are set, as log lines name it.
    """

    def __init__(
        self, suffix: str, whose: str, most: int | None, rate: Rate | None, setting: str
    ) -> None:
        self.most = most
        self.buckets = None if rate is None else Buckets(rate)
        self.open: dict[Hashable, int] = {}
        self._suffix = suffix
        self._whose = whose
        self._setting = setting
        self._status = 429 if suffix else 503

    def judge(self, key: Hashable, now: float) -> Refusal | None:
        """Return why no further connection of this key may come, ``None`` if one may."""
        if self.most is not None and self.open.get(key, 0) >= self.most:
            what = f"{self.most} connections{self._whose} are open"
            return self._refuse(f"max_connections{self._suffix}", what, key, self.most, 1.0)
        wait = 0.0 if self.buckets is None else self.buckets.wait(key, now)
        if self.buckets is not None and wait > 0:
            what = f"connections{self._whose} come faster than {self.buckets.rate}"
            name = f"connect_rate{self._suffix}"
            return self._refuse(name, what, key, self.buckets.rate, wait)
        return None

    def _refuse(self, rule: str, what: str, key: Hashable, value: object, wait: float) -> Refusal:
        # Keys may be secrets.
        who = f" ({key})" if self._suffix == "_per_client" else ""
        return Refusal(
            self._status,
            "Too many connections.\n" if self._status == 429 else "The server is busy.\n",
            rule,
            f"{what}{who}; to allow more, raise {rule}={value!r} of {self._setting}",
            max(1, math.ceil(wait)),
        )

    def enter(self, key: Hashable, now: float) -> None:
        """Count a connection."""
        self.open[key] = self.open.get(key, 0) + 1
        if self.buckets is not None:
            self.buckets.take(key, now)

    def leave(self, key: Hashable) -> None:
        """Count a connection no more."""
        count = self.open[key] - 1
        if count:
            self.open[key] = count
        else:
            del self.open[key]
