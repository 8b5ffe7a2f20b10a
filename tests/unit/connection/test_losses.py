"""What a lost connection is put down to, from what is known of it."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from duologue.connection.ending import Cause, Ending
from duologue.connection.losses import HOSTS, REMEMBERED, Silences, explain_loss

RESET = ConnectionResetError("reset")


def explain(exc: BaseException | None = RESET, what: str = "reset", **facts: Any) -> Ending:
    known: dict[str, Any] = {
        "blocked": 0.0, "idle": None, "now": 0.0,
        "host": "h", "round_trips": (), "silences": Silences(),
    }  # fmt: skip
    return explain_loss(exc, what, **(known | facts))


def test_an_unexplained_loss() -> None:
    assert explain() == Ending(Cause.CONNECTION_LOST, "reset", RESET)
    assert explain(idle=0.1) == Ending(Cause.CONNECTION_LOST, "reset", RESET, idle=0.1)
    assert explain(idle=7.3).detail == "reset after 7.3 s of silence"


def test_tls() -> None:
    failure = ssl.SSLError("bad record mac")
    assert explain(failure, blocked=9).cause is Cause.TLS_FAILED
    # An end of the stream in a TLS session is an end like others.
    assert explain(ssl.SSLEOFError("eof")).cause is Cause.CONNECTION_LOST


def test_a_blocked_loop_comes_before_silence() -> None:
    why = explain(blocked=3.21, idle=60.2, round_trips=(0.1, 0.2))
    assert (why.cause, why.blocked, why.round_trips) == (Cause.LOOP_BLOCKED, 3.21, (0.1, 0.2))
    assert why.detail == "for 3.2 s at least; then reset"
    assert "asyncio.to_thread" in why.advice
    assert explain(blocked=0.9).cause is Cause.CONNECTION_LOST


@pytest.mark.parametrize(
    "idle, period", [(60.0, 60.0), (61.4, 60.0), (350.2, 350.0), (59.9, None), (62.0, None)]
)
def test_silences_that_are_well_known(idle: float, period: float | None) -> None:
    why = explain(idle=idle)
    assert why.period == period
    assert why.cause is (Cause.CONNECTION_LOST if period is None else Cause.IDLE_CUT)
    if period is not None:
        assert f"below {period:g} s" in why.advice


def test_silences_of_the_same_length_are_a_habit_of_that_host() -> None:
    silences = Silences()
    causes = [
        explain(idle=each, now=100.0 * number, silences=silences).cause
        for number, each in enumerate((7.3, 40.0, 7.4))
    ]
    assert set(causes) == {Cause.CONNECTION_LOST}
    why = explain(idle=7.3, now=300.0, silences=silences, host="other")
    assert why.cause is Cause.CONNECTION_LOST
    why = explain(idle=7.5, now=300.0, silences=silences)
    assert (why.cause, why.period) == (Cause.IDLE_CUT, 7.3)


def test_silences_of_any_length_are_no_habit() -> None:
    silences = Silences()
    for number, each in enumerate((1.0, 1.6, 2.2, 2.8, 3.4, 4.0)):
        explain(idle=each, now=100.0 * number, silences=silences)
    causes = [
        explain(idle=each, now=1000.0 + 100 * number, silences=silences).cause
        for number, each in enumerate((2.1, 2.3, 2.2))
    ]
    assert causes == [Cause.CONNECTION_LOST] * 3
    # Once most are alike it is one.
    assert explain(idle=2.2, now=2000.0, silences=silences).cause is Cause.IDLE_CUT


def test_many_losses_at_one_moment_are_no_habit() -> None:
    silences = Silences()
    for number in range(10):
        why = explain(idle=7.3, now=100.0 + number / 10, silences=silences)
        assert why.cause is Cause.CONNECTION_LOST


def test_what_is_remembered_is_bounded() -> None:
    silences = Silences()
    for host in range(3 * HOSTS):
        silences.add(host, 7.3, 0.0)
    assert len(silences._hosts) == HOSTS
    for number in range(2):
        silences.add("h", 7.3, 100.0 * number)
    for number in range(REMEMBERED):
        silences.add("h", 100.5 + 10 * number, 1000.0 * number)
    assert silences.add("h", 7.3, 100_000.0) is None


def test_who_was_behind_was_not_idle() -> None:
    why = explain(idle=60.2, behind=True)
    assert (why.cause, why.period, why.idle) == (Cause.CONNECTION_LOST, None, 60.2)
    assert why.detail == "reset after 60.2 s in which it took nothing of what waited for it"


def test_octets_that_were_changed_on_their_way_are_no_matter_of_certificates() -> None:
    failure = ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] bad record mac")
    assert "something between the two ends" in explain(failure).advice
    assert "certificates" in explain(ssl.SSLError(1, "certificate required")).advice
