"""Many converse, a few do harm, for ten minutes: ``python -m chaos.soak``, or ``make chaos``.

200 peers hold conversations with a server and verify each answer; beside them 1 % are hostile
without a pause. Judged is that every message came back, that no polite conversation ended otherwise
than it should, that the server said nothing on its standard error, that its memory does not grow,
and that its accounts are empty in the end.

Environment:
    SOAK_SECONDS    how long, 600 by default; memory is judged from 60 on
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duologue

from .hostile import attack
from .polite import Tally, stay

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
POLITE = 200
HOSTILE = 2
SAMPLE = 1.0
WARM_UP = 0.25
MOST_GROWTH = 16.0
"""MiB that the server may have grown by at the end of the run, by the slope after the warm-up."""


def resident(process: int) -> float:
    """MiB of memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


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
    """

    def __init__(self, server: subprocess.Popen[str], ports: list[int]) -> None:
        self.server = server
        self.ports = ports
        self.tally = Tally()
        self.attacks: dict[str, int] = {}
        self.samples: list[tuple[float, float]] = []

    async def run(self) -> None:
        """Let them all loose, look at the memory, stop."""
        stop = asyncio.Event()
        urls = [f"ws://127.0.0.1:{port}/" for port in self.ports]
        tasks = [
            asyncio.ensure_future(stay(urls, seed, self.tally, stop)) for seed in range(POLITE)
        ]
        tasks += [
            asyncio.ensure_future(attack(self.ports, seed, self.attacks, stop))
            for seed in range(HOSTILE)
        ]
        begin = time.monotonic()
        told = 0.0
        while (now := time.monotonic() - begin) < SECONDS and self.server.poll() is None:
            self.samples.append((now, resident(self.server.pid)))
            if now - told >= 30:
                told = now
                self.tell()
            await asyncio.sleep(SAMPLE)
        stop.set()
        await asyncio.wait(tasks, timeout=240)
        for task in tasks:
            if not task.done():
                self.tally.wrong.append(f"still busy: {task!r}")
                task.cancel()
        await asyncio.wait(tasks)

    def tell(self) -> None:
        """Print where we are."""
        now, memory = self.samples[-1]
        print(
            f"{now:5.0f} s  {self.tally.messages:9,} messages  {self.tally.conversations:6,} "
            f"conversations  {sum(self.attacks.values()):5} attacks  {memory:6.1f} MiB  "
            f"{len(self.tally.wrong)} wrong",
            flush=True,
        )

    def judge(self, accounts: dict[str, int], said: str) -> list[str]:
        """Print the figures; return what is wrong."""
        wrong = list(self.tally.wrong)
        warm = [sample for sample in self.samples if sample[0] >= SECONDS * WARM_UP]
        growth = slope(warm) * 60
        print(f"answers, each verified   {self.tally.messages:,} ({self.tally.octets:,} units)")
        print(f"conversations            {self.tally.conversations:,}")
        print(f"attacks                  {self.attacks}")
        print(f"server memory            {warm[0][1]:.1f} MiB, at the end {warm[-1][1]:.1f} MiB, "
              f"at most {max(memory for _, memory in self.samples):.1f} MiB")  # fmt: skip
        print(f"slope after the warm-up  {growth:+.3f} MiB a minute")
        print(f"accounts at the end      {accounts}")
        if SECONDS >= 60 and growth * SECONDS / 60 > MOST_GROWTH:
            wrong.append(f"memory grows by {growth:.3f} MiB a minute")
        left = {name: value for name, value in accounts.items() if value and name != "shed"}
        if left or not accounts:
            wrong.append(f"accounts are not empty: {left}")
        if said:
            wrong.append(f"the server said:\n{said[:5000]}")
        if not self.tally.conversations or not self.attacks:
            wrong.append("nobody came to talk, or to do harm")
        return wrong


def main() -> int:
    """Run the server and its peers; return 0 if all is well."""
    path = Path(__file__).with_name("server.py")
    with tempfile.TemporaryFile("w+") as errors:
        server = subprocess.Popen(
            [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=errors, text=True
        )
        assert server.stdout is not None
        try:
            soak = Soak(server, [int(server.stdout.readline()) for _ in range(2)])
            duologue.run(soak.run())
            server.terminate()
            output, _ = server.communicate(timeout=60)
        finally:
            server.kill()
        errors.seek(0)
        accounts = json.loads(output) if server.returncode == 0 else {}
        wrong = soak.judge(accounts, errors.read())
    if server.returncode != 0:
        wrong.append(f"the server ended with {server.returncode}")
    for line in wrong[:20]:
        print(f"WRONG  {line}")
    print("wrong" if wrong else "all is well")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
