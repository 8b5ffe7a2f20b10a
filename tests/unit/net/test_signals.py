from __future__ import annotations

import asyncio
import os
import signal

import pytest

from duologue.net.signals import stop_requested

pytestmark = pytest.mark.skipif(os.name != "posix", reason="os.kill ends processes elsewhere")


@pytest.fixture(autouse=True)
def handlers_are_restored():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


async def without_loop_handlers(monkeypatch):
    """Makes the running loop one that can't handle signals, as those of Windows are."""

    def refuse(*arguments):
        raise NotImplementedError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", refuse, raising=False)
    monkeypatch.setattr(loop, "remove_signal_handler", refuse, raising=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("by_loop", [True, False])
async def test_a_signal_sets_the_event_and_the_next_one_would_kill(monkeypatch, number, by_loop):
    if not by_loop:
        await without_loop_handlers(monkeypatch)
    with stop_requested() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        await stop.wait()
        assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.parametrize("by_loop", [True, False])
async def test_without_a_signal_all_is_as_before(monkeypatch, by_loop):
    if not by_loop:
        await without_loop_handlers(monkeypatch)

    def mine(number, frame): ...

    signal.signal(signal.SIGTERM, mine)
    with stop_requested():
        assert signal.getsignal(signal.SIGTERM) is not mine
    assert signal.getsignal(signal.SIGTERM) is mine
