"""What chaos calls wrong: a run that could not fail would prove nothing."""

from __future__ import annotations

import random
from typing import Any

import pytest

from chaos import storms, streams
from chaos.judge import KEPT, Judge, Seen
from chaos.storm import cut
from chaos.streams import Stream


def judged(*numbers: int, uncertain: set[int] | None = None) -> list[str]:
    judge, seen = Judge([]), Seen()
    judge.uncertain["t"] = uncertain or set()
    for number in numbers:
        judge.check("a", "t", seen, number)
    assert judge.messages == len(numbers)
    return judge.wrong


class TestTopics:
    def test_what_follows_is_right_wherever_it_begins(self) -> None:
        assert judged(7, 8, 9) == []

    def test_a_lost_message(self) -> None:
        assert judged(7, 8, 10) == ["a: t lacks [9]"]

    def test_a_doubled_message(self) -> None:
        assert judged(7, 8, 8) == ["a: t has 8 twice"]
        assert judged(7, 8, 9, 7) == ["a: t has 7 twice"]

    def test_reordered_messages(self) -> None:
        assert judged(7, 9, 8) == ["a: t lacks [8]", "a: t has 8 after 9"]

    def test_what_is_uncertain_may_be_missing_or_late_but_never_come_twice(self) -> None:
        assert judged(7, 9, 8, uncertain={8}) == []
        assert judged(7, 8, 8, uncertain={8}) == ["a: t has 8 twice"]

    def test_old_numbers_are_forgotten(self) -> None:
        seen = Seen()
        for number in range(5 * KEPT):
            seen.add(number)
        assert KEPT <= len(seen.numbers) <= 2 * KEPT
        assert seen.newest == 5 * KEPT - 1


def storm(
    fates: dict[str, int],
    here: int,
    messages: dict[str, int] | None = None,
    lost: dict[str, int] | None = None,
    **options: Any,
) -> list[str]:
    """Judge a storm of ten."""
    told = {"fates": fates, "here": here, "lost": lost or {}}
    got = told | {"messages": {"1": here} if messages is None else messages}
    came = {"seconds": options.pop("seconds", 0.01)}
    settled = {"lost": options.pop("lost_before", told["lost"])}
    return storms.find_wrong(10, came, settled, got, **({"dropped": 0, "killed": False} | options))


class TestStorms:
    def test_all_have_worked(self) -> None:
        assert storm({"worked": 10}, 10) == []

    @pytest.mark.parametrize("status", ["503", "429"])
    def test_a_limit_may_refuse(self, status: str) -> None:
        assert storm({"worked": 8, f"refused with {status}": 2}, 8) == []

    def test_nothing_else_may(self) -> None:
        assert storm({"worked": 8, "refused with 500": 2}, 8) != []

    def test_without_an_answer(self) -> None:
        fates = {"worked": 8, "no answer: ConnectionResetError": 2}
        assert storm(fates, 8, dropped=2) == []
        assert storm(fates, 8, dropped=1) != []

    def test_those_who_are_sent_away_come_back(self) -> None:
        assert storm({"worked": 10, "sent away with 1012": 3}, 10) == []
        assert storm({"worked": 10, "sent away with 1011": 3}, 10) != []

    def test_nobody_gets_lost(self) -> None:
        assert storm({"worked": 10}, 9) != []
        assert storm({"refused with 503": 10}, 0) != []

    def test_connections_break_only_with_their_worker(self) -> None:
        lost = {"no answer: end of stream": 3}
        assert storm({"worked": 13}, 10, lost=lost) != []
        assert storm({"worked": 13}, 10, lost=lost, killed=True) == []
        assert storm({"worked": 13}, 10, lost={"sent away with 1002": 3}, killed=True) != []
        assert storm({"worked": 13}, 10, lost={"sent away with 1012": 3}) == []

    def test_each_has_the_message_once(self) -> None:
        assert storm({"worked": 10}, 10, {"1": 9, "0": 1}) != []
        assert storm({"worked": 10}, 10, {"1": 9, "2": 1}) != []

    def test_those_who_came_again_meanwhile_have_missed_it(self) -> None:
        lost = {"sent away with 1012": 1}
        assert storm({"worked": 11}, 10, {"1": 9, "0": 1}, lost, lost_before={}) == []

    def test_a_breeze_is_no_storm(self) -> None:
        assert storm({"worked": 10}, 10, seconds=12.0) != []

    def test_frames_are_cut_off(self) -> None:
        for payload in (b"", b"x" * 125, b"x" * 126, b"x" * 300):
            size = len(payload)
            head = bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2)
            octets = head + payload
            assert cut(octets + b"rest") == (1, payload, b"rest")
            assert all(cut(octets[:n]) is None for n in range(len(octets)))


def stream(got: int, code: int | None = 1012) -> Stream:
    found = Stream("ws://127.0.0.1", "s", random.Random(1))
    found.got["s/1"] = got
    if code is not None:
        found.codes["s/1"] = code
    return found


class TestStreams:
    @pytest.mark.parametrize(
        ("one", "sent", "right"),
        [
            (stream(5), 5, True),
            (stream(6), 5, True),  # which send() had not returned, and need not
            (stream(4), 5, False),
            (stream(5), None, False),
            (stream(5, 1001), 5, False),
            (stream(5, 1006), 5, False),
            (stream(5, None), 5, False),
        ],
    )
    def test_all_that_was_sent_and_the_code(
        self, one: Stream, sent: int | None, right: bool
    ) -> None:
        notes = {} if sent is None else {"s/1": sent}
        codes, wrong = streams.find_wrong([one], notes, 1012, staying=True)
        assert (wrong == []) is right
        assert sum(codes.values()) == len(one.codes) or one.codes == {}

    def test_gaps(self) -> None:
        one = stream(5)
        one.wrong.append("s/1: 3 after 1")
        assert streams.find_wrong([one], {"s/1": 5}, 1012, staying=True)[1] == ["s/1: 3 after 1"]

    @pytest.mark.parametrize("staying", [True, False])
    def test_nobody_is_refused_while_the_port_stays_open(self, staying: bool) -> None:
        one = stream(5)
        one.refused.append("OSError: refused")
        assert bool(streams.find_wrong([one], {"s/1": 5}, 1012, staying=staying)[1]) is staying

    def test_what_was_judged_is_judged_once(self) -> None:
        one = stream(4)
        assert streams.find_wrong([one], {"s/1": 5}, 1012, staying=True)[1] != []
        one.codes["s/2"], one.got["s/2"] = 1001, 7
        assert streams.find_wrong([one], {"s/1": 5, "s/2": 7}, 1001, staying=False)[1] == []
