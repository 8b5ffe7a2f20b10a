"""Options of an application, of those included in it, and of single routes, and how they add up.

Pure. The nearest setting counts: a route's before its application's, that before the one that
includes it; ``limits=`` replaces bounds that were set one by one further away. Guards are another
thing: the rules of all of them hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.server.terms import ConnectionOptions

__all__ = ["Options", "limits_of", "terms_of"]

GUARD = frozenset(
    {
        "origins",
        "allowed_hosts",
        "max_connections",
        "max_connections_per_client",
        "max_connections_per_key",
        "key",
        "connect_rate",
        "connect_rate_per_client",
        "connect_rate_per_key",
    }
)
CONNECTION = frozenset(
    {
        "cancel_on_disconnect",
        "compression",
        "extensions",
        "max_queue",
        "max_size",
        "overflow",
        "write_limit",
    }
)
BOUNDS = frozenset(field.name for field in dataclasses.fields(Limits))
KNOWN = GUARD | CONNECTION | BOUNDS | {"limits"}
HTTP = frozenset({"allowed_hosts", "limits", "max_body"})
"""Those that mean something for plain HTTP."""

APP_LIMITS = dataclasses.replace(DEFAULT_LIMITS, max_outbox=1_048_576)
"""Bounds that are not set: what topics bring is in nobody's hand, so less of it may wait."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was given to one application or route.

    Attributes:
        setting: where, as log lines name it.
        guard: who may connect, see :class:`~duologue.app.guard.guard.Guard`.
        connection: bounds, times and extensions, see :func:`~duologue.serve`.
    """

    setting: str
    guard: Mapping[str, Any]
    connection: Mapping[str, Any]

    @classmethod
    def take(
        cls, setting: str, options: Mapping[str, Any], allowed: frozenset[str] | None = None
    ) -> Options:
        """Sort options.

        Args:
            setting: where they are given.
            options: names and values.
            allowed: names of those that mean something there; ``None`` for all.

        Raises:
            TypeError: If one isn't known, or means nothing there.
        """
        for name in options:
            if name not in KNOWN:
                raise TypeError(f"{setting} got an unexpected keyword argument {name!r}")
            if allowed is not None and name not in allowed:
                raise TypeError(f"{setting} has no use for {name!r}, which is about WebSockets")
        return cls(
            setting,
            {name: value for name, value in options.items() if name in GUARD},
            {name: value for name, value in options.items() if name not in GUARD},
        )


def _merged(scopes: Iterable[Options]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for scope in scopes:
        if "limits" in scope.connection:
            merged = {name: value for name, value in merged.items() if name not in BOUNDS}
        merged |= scope.connection
    return merged


def limits_of(scopes: Iterable[Options]) -> Limits:
    """Add up the bounds, from the farthest to the nearest.

    Raises:
        TypeError: If one has the wrong type.
        ValueError: If one has a value that it can't have.
    """
    merged = _merged(scopes)
    limits: Limits = merged.get("limits", APP_LIMITS)
    # These two may be pairs, which a connection's own option is for.
    single = {
        name: value for name, value in merged.items() if name in BOUNDS and name not in CONNECTION
    }
    return dataclasses.replace(limits, **single)


def terms_of(scopes: Iterable[Options], logger: Any) -> ConnectionOptions:
    """Add up everything about connections; raises as :func:`limits_of`."""
    scopes = list(scopes)
    own = {name: value for name, value in _merged(scopes).items() if name in CONNECTION}
    own.setdefault("cancel_on_disconnect", True)
    return ConnectionOptions.resolve(limits=limits_of(scopes), logger=logger, **own)
