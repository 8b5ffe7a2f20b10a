"""Short runs of ``python -m chaos.crew``: red with a planted fault, green without."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc"),
]


@contextmanager
def crew(*options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "chaos.crew", "--storm", "60", "--seed", "5", *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def of_session(leader: int) -> list[str]:
    """The processes of a session, as ``/proc/PID/stat`` has them; without those that have ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, facts = path.read_text().rpartition(")")
        except OSError:
            continue
        state, _, _, session = facts.split()[:4]
        if int(session) == leader and state != "Z":
            found.append(name)
    return found


@pytest.mark.parametrize(("plant", "noticed"), [("lost", "lacks"), ("doubled", "twice")])
def test_a_planted_fault_is_noticed(plant: str, noticed: str) -> None:
    with crew("--seconds", "60", "--plant", plant) as process:
        said, _ = process.communicate()
    assert process.returncode == 1, said
    assert any(line.startswith("WRONG") and noticed in line for line in said.splitlines()), said
    assert said.splitlines()[-1] == (
        f"again: python -m chaos.crew --seconds=60.0 --seed=5 --storm=60 --plant={plant}"
    )


def test_without_one_all_is_well() -> None:
    with crew("--seconds", "3") as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    assert said.splitlines()[-1] == "all is well"
    # Whether somebody was there to be renewed and sent away.
    codes = next(line for line in said.splitlines() if line.startswith("close codes"))
    assert re.search(r"{'SIGHUP': {1012: \d+}, 'SIGTERM': {1001: \d+}}", codes), said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_processes(number: int) -> None:
    with crew("--seconds", "100") as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        leader = int(first.split()[1].rstrip(","))
        assert len(of_session(leader)) == 5  # a supervisor, three workers and the bus
        os.kill(process.pid, number)
        said, _ = process.communicate()
    assert process.returncode == 130, said
    assert "interrupted" in said and "again: python -m chaos.crew" in said
    deadline = time.monotonic() + 10
    while of_session(leader) and time.monotonic() < deadline:
        time.sleep(0.05)  # what was killed may take a moment to be gone
    assert of_session(leader) == []
