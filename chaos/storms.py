"""Storms of clients, and what is right about their answers.

Whoever comes is accepted and served, or refused for a reason: a limit of the server, which says so
with 503 or 429, or a full backlog, which the kernel counts. Whoever was accepted gets the next
message, exactly once. Connections end only when their worker was killed, or with 1012 when it was
renewed or may have missed something.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .storm import NO_ANSWER, SENT_AWAY, TOPIC, WORKED

RATE = 1000
"""Clients that come in a second."""
LIMITS = ("refused with 503", "refused with 429")
LATE = 2.0
"""A storm that takes so many times longer to come is none,"""
ALLOWED = 10.0
"""unless it takes no longer than so many seconds: small ones are for tests, on busy machines."""


def overflows() -> int:
    """How often this kernel had no room in a backlog, since it started."""
    lines = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines()]
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        if names[0] == "TcpExt:":
            counts = dict(zip(names[1:], values[1:], strict=True))
            return int(counts["ListenOverflows"]) + int(counts["ListenDrops"])
    return 0


def find_wrong(
    count: int,
    came: dict[str, Any],
    settled: dict[str, Any],
    got: dict[str, Any],
    *,
    dropped: int,
    killed: bool,
) -> list[str]:
    """Judge one storm.

    Args:
        count: clients.
        came: what :mod:`chaos.storm` told when all had come.
        settled: what it told when they were there, those that were lost too.
        got: what it told after a message.
        dropped: how often a backlog was full meanwhile.
        killed: whether a worker was killed while all were there.
    """
    wrong = []
    fates = Counter(got["fates"])
    refused = sum(fates[fate] for fate in LIMITS)
    silent = sum(n for fate, n in fates.items() if fate.startswith(NO_ANSWER))
    known = {WORKED, *LIMITS, f"{SENT_AWAY} with 1012"}
    for fate, n in fates.items():
        if fate not in known and not fate.startswith(NO_ANSWER):
            wrong.append(f"{n} clients of a storm: {fate}")
    if silent > dropped and not killed:
        wrong.append(f"{silent} clients of a storm without an answer, {dropped} full backlogs")
    for end, n in got["lost"].items():
        if end != f"{SENT_AWAY} with 1012" and not (killed and end.startswith(NO_ANSWER)):
            wrong.append(f"{n} connections of a storm were lost: {end}")
    missing = count - got["here"] - refused - silent
    if missing > 0 or not got["here"]:
        wrong.append(f"{got['here']} of {count} clients of a storm are there: {dict(fates)}")
    # Those who had to come again meanwhile were not there for it.
    if {"1": got["here"]} != got["messages"] and settled["lost"] == got["lost"]:
        wrong.append(f"a message to a storm of {got['here']} came {got['messages']} times")
    seconds = count / RATE
    if came["seconds"] > max(LATE * seconds, ALLOWED):
        wrong.append(f"a storm took {came['seconds']} s to come, not {seconds}: too slow a machine")
    return wrong


async def storm(
    port: int,
    count: int,
    seed: str,
    publish: Callable[[str], Awaitable[None]],
    kill: Callable[[], None] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Have a storm.

    Args:
        port: of the workers.
        count: clients.
        seed: where its chance comes from.
        publish: publishes a message to a topic for sure.
        kill: called when all are there.

    Returns:
        What became of them, and what is wrong about it.
    """
    before = overflows()
    arguments = [str(port), str(count), str(count / RATE), seed]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chaos.storm", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        came = await _tell(process)
        if kill is not None:
            kill()
            # Those who were there notice first, then come back.
            await asyncio.sleep(1)
        settled = await _tell(process, "settle")
        await publish(TOPIC)
        got = await _tell(process, "message")
        await _tell(process, "leave")
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    dropped = overflows() - before
    wrong = find_wrong(count, came, settled, got, dropped=dropped, killed=kill is not None)
    return got | {"seconds": came["seconds"], "dropped": dropped}, wrong


async def _tell(process: asyncio.subprocess.Process, word: str = "") -> dict[str, Any]:
    assert process.stdin is not None and process.stdout is not None
    if word:
        process.stdin.write(f"{word}\n".encode())
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"the storm has ended with {await process.wait()}")
    answer: dict[str, Any] = json.loads(line)
    return answer
