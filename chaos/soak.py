"""Many converse, a few do harm, for ten minutes: ``python -m chaos.soak``, or ``make chaos``.

200 peers hold conversations with a server and verify each answer; beside them 1 % are hostile
without a pause. Judged is that every message came back, that no polite conversation ended otherwise
than it should, that the server said nothing on its standard error, that its memory does not grow
(from a minute on), and that its accounts are empty in the end.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .hostile import attack
from .polite import Tally, stay
from .processes import resident
from .verdict import Verdict, judge, options

POLITE = 200
HOSTILE = 2
SAMPLE = 1.0
WARM_UP = 0.25
MOST_GROWTH = 16.0
"""MiB that the server may have grown by at the end of the run, by the slope after the warm-up."""


def slope(samples: list[tuple[float, float]]) -> float:
    """Least squares: by how much the second numbers grow with the first."""
    count = len(samples)
    mean_x = sum(x for x, _ in samples) / count
    mean_y = sum(y for _, y in samples) / count
    square = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / square if square else 0.0


class Soak:
    """One run.

    Args:
        server: the process under test.
        ports: where it listens.
        chosen: the options.
        verdict: hears what is wrong.
    """

    def __init__(
        self,
        server: subprocess.Popen[str],
        ports: list[int],
        chosen: argparse.Namespace,
        verdict: Verdict,
    ) -> None:
        self.server = server
        self.ports = ports
        self.seconds = chosen.seconds
        self.seed = chosen.seed * 1000
        self.wrong = verdict.wrong
        self.tally = tally = Tally(verdict.wrong)
        self.attacks: dict[str, int] = {}
        self.samples: list[tuple[float, float]] = []
        self.accounts: dict[str, int] = {}
        verdict.figure(
            "answers, each verified", lambda: f"{tally.messages:,} ({tally.octets:,} units)"
        )
        verdict.figure("conversations", lambda: f"{tally.conversations:,}")
        verdict.figure("attacks", lambda: self.attacks)
        verdict.figure("server memory", self._tell_memory)
        verdict.figure("accounts at the end", lambda: self.accounts)

    async def run(self) -> None:
        """Let them all loose, look at the memory, stop."""
        stop = asyncio.Event()
        urls = [f"ws://127.0.0.1:{port}/" for port in self.ports]
        tasks = [
            asyncio.ensure_future(stay(urls, self.seed + n, self.tally, stop))
            for n in range(POLITE)
        ]
        tasks += [
            asyncio.ensure_future(attack(self.ports, self.seed + n, self.attacks, stop))
            for n in range(HOSTILE)
        ]
        begin = time.monotonic()
        told = 0.0
        while (now := time.monotonic() - begin) < self.seconds and self.server.poll() is None:
            self.samples.append((now, resident(self.server.pid)))
            if now - told >= 30:
                told = now
                self.tell()
            await asyncio.sleep(SAMPLE)
        stop.set()
        await asyncio.wait(tasks, timeout=240)
        for task in tasks:
            if not task.done():
                self.wrong.append(f"still busy: {task!r}")
                task.cancel()
        await asyncio.wait(tasks)

    def tell(self) -> None:
        """Print where we are."""
        now, memory = self.samples[-1]
        print(
            f"{now:5.0f} s  {self.tally.messages:9,} messages  {self.tally.conversations:6,} "
            f"conversations  {sum(self.attacks.values()):5} attacks  {memory:6.1f} MiB  "
            f"{len(self.wrong)} wrong",
            flush=True,
        )

    def _tell_memory(self) -> str:
        memory = [each for _, each in self.samples] or [0.0]
        return (
            f"{memory[0]:.1f} MiB, at the end {memory[-1]:.1f} MiB, at most {max(memory):.1f} MiB, "
            f"{self._growth():+.3f} MiB a minute"
        )

    def _growth(self) -> float:
        """MiB a minute, after the warm-up."""
        warm = [sample for sample in self.samples if sample[0] >= self.seconds * WARM_UP]
        return slope(warm) * 60 if warm else 0.0

    def judge(self, accounts: dict[str, int], said: str) -> None:
        """Judge what is known in the end."""
        self.accounts = accounts
        growth = self._growth()
        if self.seconds >= 60 and growth * self.seconds / 60 > MOST_GROWTH:
            self.wrong.append(f"memory grows by {growth:.3f} MiB a minute")
        # What was shed or dropped ever is counted on; hostile peers don't take what they are sent.
        holds = {name for name in accounts if name != "shed" and not name.startswith("dropped_")}
        left = {name: accounts[name] for name in holds if accounts[name]}
        if left or not accounts:
            self.wrong.append(f"accounts are not empty: {left}")
        if said:
            self.wrong.append(f"the server said:\n{said[:5000]}")
        if not self.tally.conversations or not self.attacks:
            self.wrong.append("nobody came to talk, or to do harm")
        if self.server.returncode != 0:
            self.wrong.append(f"the server ended with {self.server.returncode}")


async def run(chosen: argparse.Namespace, verdict: Verdict) -> None:
    """Run the server and its peers."""
    path = Path(__file__).with_name("server.py")
    with tempfile.TemporaryFile("w+") as errors:
        server = subprocess.Popen(
            [sys.executable, str(path)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        assert server.stdout is not None
        try:
            ports = [int(server.stdout.readline()) for _ in range(2)]
            soak = Soak(server, ports, chosen, verdict)
            await soak.run()
            server.terminate()
            output, _ = server.communicate(timeout=60)
        finally:
            server.kill()
            server.wait()
        errors.seek(0)
        soak.judge(json.loads(output) if server.returncode == 0 else {}, errors.read())


def main() -> int:
    """Return 0 if all is well."""
    # That hostile peers' connections end badly is no news, and ours do when this is interrupted.
    logging.getLogger("duologue").setLevel(logging.CRITICAL)
    chosen = options("chaos.soak", "Many converse, a few do harm.").parse_args()
    verdict = Verdict("chaos.soak", chosen)
    return judge(verdict, functools.partial(run, chosen, verdict))


if __name__ == "__main__":
    sys.exit(main())
