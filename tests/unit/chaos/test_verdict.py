from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import signal
from collections.abc import Awaitable, Callable

import pytest

from chaos.verdict import MOST_LINES, Verdict, judge, options

CHOSEN = argparse.Namespace(seconds=4.0, seed=7, plant=None)


async def nothing() -> None:
    pass


def test_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = Verdict("chaos.crew", CHOSEN)
    verdict.figure("messages", lambda: 3)
    assert judge(verdict, nothing) == 0
    assert capsys.readouterr().out == f"{'messages':26} 3\nall is well\n"


def test_a_failing_run_says_how_to_repeat_it(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = Verdict("chaos.crew", CHOSEN)
    verdict.wrong += [f"number {n}" for n in range(MOST_LINES + 2)]
    assert judge(verdict, nothing) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "WRONG  number 0"
    assert said[-3:] == [
        "WRONG  and 2 more", "wrong", "again: python -m chaos.crew --seconds=4.0 --seed=7",
    ]  # fmt: skip


def test_the_same_options_repeat_it() -> None:
    parser = options("chaos.crew", "")
    chosen = parser.parse_args(["--seconds", "2.5", "--seed", "9"])
    again = shlex.split(Verdict("chaos.crew", chosen).again)
    assert parser.parse_args(again[3:]) == chosen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("wrong", "code"), [([], 130), (["a"], 1)])
def test_an_interrupted_run_ends_in_order_and_tells_what_it_has_done(
    number: int, wrong: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    done = []
    verdict = Verdict("chaos.crew", CHOSEN)
    verdict.wrong += wrong
    verdict.figure("deeds", lambda: done)

    async def work() -> None:
        try:
            done.append("one")
            os.kill(os.getpid(), number)
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            done.append("tidied")

    assert judge(verdict, work) == code
    said = capsys.readouterr().out
    assert f"{'deeds':26} ['one', 'tidied']\n" in said
    assert "interrupted" in said and "again: " in said


def test_a_run_that_fails_itself(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        raise RuntimeError("no port")

    checked: Callable[[], Awaitable[None]] = work
    with pytest.raises(RuntimeError):
        judge(Verdict("chaos.crew", CHOSEN), checked)
    assert "WRONG  the run itself failed: RuntimeError('no port')" in capsys.readouterr().out
