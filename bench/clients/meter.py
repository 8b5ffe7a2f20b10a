"""What the clients of the bench share: their command line, and counting for a time."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from typing import Any

from common import loop_factory

PAYLOAD = b"abcdefgh" * 4


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all clients take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mode", choices=("ping-pong", "pipelined", "feed"), required=True)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--loop", choices=("asyncio", "uvloop", "duologue"), default="asyncio")
    return parser


class Meter:
    """Counts messages from the end of the warm-up until the time is over."""

    def __init__(self, arguments: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.count = 0
        self.over = False
        self._began = self._cpu = 0.0
        self._result: dict[str, float] = {}
        loop.call_later(arguments.seconds / 5, self._begin)
        loop.call_later(arguments.seconds * 1.2, self._end)

    def _begin(self) -> None:
        self.count = 0
        self._began = time.perf_counter()
        self._cpu = time.process_time()

    def _end(self) -> None:
        seconds = time.perf_counter() - self._began
        cpu = time.process_time() - self._cpu
        self._result = {
            "count": self.count,
            "seconds": seconds,
            "per_second": self.count / seconds,
            "cpu_us": cpu * 1e6 / max(self.count, 1),
        }
        self.over = True

    def received(self, message: Any) -> None:
        """Count a message; raise ValueError if it is not what was sent."""
        if message != PAYLOAD:
            raise ValueError(f"not what was sent: {message!r}")
        self.count += 1

    def print(self) -> None:
        """Print the figures as JSON."""
        print(json.dumps(self._result), flush=True)


def run(main: Callable[[Any], Coroutine[Any, Any, None]], arguments: Any) -> None:
    """Run a client on the loop that was asked for."""
    arguments.depth = 16 if arguments.mode == "pipelined" else 1
    with asyncio.Runner(loop_factory=loop_factory(arguments.loop)) as runner:
        runner.run(main(arguments))
