"""The gate: one thread inside, nobody passed over, no way in twice."""

from __future__ import annotations

import threading
import time

import pytest

from duologue.net.gate import Gate


def test_one_at_a_time() -> None:
    gate, inside, most = Gate(), [], []

    def visit() -> None:
        inside.append(1)
        most.append(len(inside))
        inside.pop()

    def work() -> None:
        for _ in range(300):
            gate.run(visit)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 1200
    assert set(most) == {1}


def test_run_returns_and_raises() -> None:
    gate = Gate()
    assert gate.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        gate.run(divmod, 7, 0)
    assert not gate.inside
    gate.acquire()
    assert gate.inside
    gate.release()


def test_not_twice() -> None:
    gate = Gate()
    with pytest.raises(RuntimeError, match="called from inside itself"):
        gate.run(gate.acquire)
    assert not gate.inside


def test_only_who_is_inside_goes_out() -> None:
    gate = Gate()
    with pytest.raises(RuntimeError, match="isn't inside"):
        gate.release()
    thread = threading.Thread(target=gate.acquire)
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError, match="isn't inside"):
        gate.release()


def test_who_waits_is_next() -> None:
    """A thread that goes in and out without a pause can't keep another one out."""
    gate, order, asked = Gate(), [], threading.Event()

    def other() -> None:
        asked.set()
        gate.run(order.append, "other")

    gate.acquire()
    thread = threading.Thread(target=other)
    thread.start()
    assert asked.wait(5)
    while not gate.wanted:
        pass
    time.sleep(0.2)  # it is counted a moment before it holds the queue, and nothing tells when
    gate.release()
    gate.run(order.append, "again")
    thread.join()
    assert order == ["other", "again"]
    assert gate.wanted == 0
