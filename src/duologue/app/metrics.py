"""Metrics in the text format of Prometheus, and the server that tells them, on its own address.

Off unless an address is given, since anybody who can connect may read them: never where the
application listens. The format is a few lines of text, so no library is needed.

Source: Prometheus, exposition formats (text, version 0.0.4).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from duologue.app.stats import COUNTERS, NAMES
from duologue.protocol.handshake import respond
from duologue.server.serving import serve
from duologue.wire.headers import Headers

__all__ = ["CONTENT_TYPE", "address", "render", "telling"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/metrics"

HELP = {
    "connections": "WebSocket connections that are open",
    "connections_total": "WebSocket connections opened",
    "messages_received": "Whole messages received",
    "messages_sent": "Messages written, a published one once for each subscriber",
    "octets_received": "Octets received from sockets",
    "octets_sent": "Octets sent to sockets",
    "rtt": "Seconds of the latest keepalive pings, mean of open connections",
    "rtt_max": "Seconds of the slowest of the latest keepalive pings",
    "queued_octets": "Octets in all buffers",
    "queues": "Connections with octets in a buffer",
    "shed": "Connections closed for memory_budget",
    "compression_ratio": "Octets of compressed messages before, by those after",
    "requests": "Plain HTTP requests answered",
    "handler_seconds": "Seconds that HTTP handlers took",
    "handler_seconds_max": "Seconds that the slowest HTTP handler took",
    "loop_lag": "Seconds by which the event loop was late",
    "loop_lag_max": "Seconds by which the event loop was late at most",
    "topics": "Topics with subscribers",
    "publish_failures": "Published messages that may not have reached other processes",
    "gaps": "Times that messages of other processes may have been missed",
}
SECONDS = {"rtt", "rtt_max", "loop_lag", "loop_lag_max"}
DROPS = {
    "dropped_newest": "newest",
    "dropped_oldest": "oldest",
    "dropped_replaced": "replaced",
    "dropped_unsent": "unsent",
}


def render(workers: Mapping[str, Mapping[str, Any]]) -> str:
    """Write numbers in the text format.

    Args:
        workers: the fields of :class:`~duologue.app.stats.Stats` by the worker's name.
    """
    lines: list[str] = []
    for name in NAMES:
        if name in DROPS or name == "ended":
            continue
        metric = _metric(name)
        kind = "counter" if name in COUNTERS else "gauge"
        lines += [f"# HELP {metric} {HELP[name]}.", f"# TYPE {metric} {kind}"]
        lines += [f'{metric}{{worker="{who}"}} {known[name]}' for who, known in workers.items()]
    ended = {who: known["ended"] for who, known in workers.items()}
    lines += _by_cause("connections_ended", "Connections that have ended", ended)
    dropped = {
        who: {cause: known[name] for name, cause in DROPS.items()} for who, known in workers.items()
    }
    lines += _by_cause("messages_dropped", "Messages that were never sent", dropped)
    return "\n".join([*lines, ""])


def _by_cause(name: str, text: str, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    metric = f"duologue_{name}_total"
    return [
        f"# HELP {metric} {text}, by cause.",
        f"# TYPE {metric} counter",
        *(
            f'{metric}{{worker="{who}",cause="{cause}"}} {count}'
            for who, counted in counts.items()
            for cause, count in counted.items()
        ),
    ]


def _metric(name: str) -> str:
    """The name as Prometheus' conventions have it: units, and _total for counters."""
    name = {"connections_total": "connections_opened"}.get(name, name)
    unit = "_seconds" if name in SECONDS else ""
    return f"duologue_{name}{unit}" + ("_total" if _counts(name) else "")


def _counts(name: str) -> bool:
    return name in COUNTERS or name == "connections_opened"


def address(metrics: int | str) -> tuple[str, int]:
    """Read where to listen: a port, of this machine only, or ``host:port``.

    Raises:
        ValueError: If it is neither.
    """
    host, _, port = str(metrics).rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"metrics must be a port or 'host:port', not {metrics!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


@contextlib.asynccontextmanager
async def telling(
    metrics: int | str, look: Callable[[], Mapping[str, Mapping[str, Any]]]
) -> AsyncIterator[tuple[str, int]]:
    """Answer ``GET /metrics`` while the context lasts.

    Args:
        metrics: see :func:`address`.
        look: gives what :func:`render` takes.

    Yields:
        Where it listens.

    Raises:
        OSError: If nothing can listen there.
    """

    def answer(connection: Any, request: Any) -> Any:
        if request.path.partition("?")[0] != PATH:
            return respond(404, f"The metrics are at {PATH}.\n")
        response = respond(200, render(look()))
        headers = Headers(response.headers.raw_items())
        del headers["Content-Type"]
        headers["Content-Type"] = CONTENT_TYPE
        response.headers = headers
        return response

    host, port = address(metrics)
    async with serve(_nobody, host, port, process_request=answer, compression=None) as server:
        name = server.sockets[0].getsockname()
        yield name[0], name[1]


async def _nobody(connection: Any) -> None:
    """Never called: every request is answered."""
    await asyncio.sleep(0)
