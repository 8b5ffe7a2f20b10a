"""Clients that are sent messages without a pause, for leaving under load.

A worker notes for each connection the last message whose ``send()`` has returned. Its client must
have got all up to that one, without a gap, and then a Close frame with the code that says why.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .clients import FAILURES, connect


class Stream:
    """One client, over one connection after the other.

    Args:
        url: of the workers.
        name: its own.
        chance: where its chance comes from.

    Attributes:
        here: whether it gets messages.
        got: by connection, the last message that came.
        codes: by connection, how it was closed.
        refused: what happened to attempts to connect that failed.
        wrong: what is wrong about messages.
    """

    def __init__(self, url: str, name: str, chance: random.Random) -> None:
        self._url = url
        self._name = name
        self._chance = chance
        self._turn = 0
        self.here = False
        self.got: dict[str, int] = {}
        self.codes: dict[str, int | None] = {}
        self.refused: list[str] = []
        self.wrong: list[str] = []

    async def run(self) -> None:
        """Connect again and again, until cancelled."""
        while True:
            self._turn += 1
            try:
                async with connect(self._url, ping_interval=None) as ws:
                    await self._follow(ws, f"{self._name}/{self._turn}")
            except FAILURES as exc:
                self.refused.append(f"{type(exc).__name__}: {exc}")
            self.here = False
            await asyncio.sleep(0.1 + self._chance.random())

    async def _follow(self, ws: Any, connection: str) -> None:
        await ws.send(json.dumps({"stream": connection}))
        try:
            async for message in ws:
                number = int(message.split(" ", 1)[0])
                if number != self.got.get(connection, 0) + 1:
                    self.wrong.append(f"{connection}: {number} after {self.got.get(connection, 0)}")
                self.got[connection] = number
                self.here = True
                if self._chance.random() < 0.002:
                    await asyncio.sleep(self._chance.uniform(0, 1))  # stall
        except FAILURES:
            pass  # the code says how it was closed
        finally:
            if ws.close_code is not None:
                self.codes[connection] = ws.close_code


def read_sent(folder: Path) -> dict[str, int]:
    """Read what the workers have noted: by connection, the last message that was sent."""
    sent = {}
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            connection, number = line.rsplit(" ", 1)
            sent[connection] = int(number)
    return sent


def find_wrong(
    streams: Iterable[Stream], sent: dict[str, int], expected: int, *, staying: bool
) -> tuple[Counter[int | None], list[str]]:
    """Judge who was sent away since the last time, and forget about them.

    Args:
        streams: the clients.
        sent: see :func:`read_sent`.
        expected: the close code.
        staying: whether the port stays open, so that nobody may be refused.

    Returns:
        How often which close code came, and what is wrong.
    """
    wrong: list[str] = []
    codes: Counter[int | None] = Counter()
    for stream in streams:
        wrong += stream.wrong
        if staying:
            wrong += [f"{reason} while the port stays open" for reason in stream.refused]
        for connection, code in stream.codes.items():
            codes[code] += 1
            got = stream.got.get(connection, 0)
            if code != expected:
                wrong.append(f"{connection} was closed with {code}, not {expected}")
            if got and connection not in sent:
                wrong.append(f"{connection}: its worker did not note what was sent")
            elif got < sent.get(connection, 0):
                wrong.append(f"{connection} got {got} of {sent[connection]} messages")
        if not stream.codes:
            wrong.append("a client was not told that its worker leaves")
        stream.codes.clear()
        stream.refused.clear()
        stream.wrong.clear()
    return codes, wrong
