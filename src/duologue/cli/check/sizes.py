"""The longest message that an echo takes, by doubling, then by halving what is left.

The search is pure: :class:`Search` says which size to try next, and is told how it went. Sizes are
powers of two first; since limits mostly are powers of two as well, the size after the last good one
is tried before halving, which ends most searches at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from duologue.cli.check.events import Ended
from duologue.cli.check.findings import Report, Stopwatch
from duologue.cli.check.meeting import Meeting
from duologue.cli.check.plan import ATTEMPTS, Plan
from duologue.cli.check.talk import Talk

__all__ = ["Search", "sizes"]

_FIRST = 1024
_TOO_BIG = 1009
# Messages shorter than that are what every application sends.
_MODEST = 65536
_SLACK = 4


@dataclass(slots=True)
class Search:
    """Which size to try next.

    Attributes:
        bound: The largest size to try.
        attempts: Failures that are left before the search gives up narrowing.
        good: The largest size that was accepted, 0 if none.
        bad: The smallest size that was refused, ``None`` if none.
        narrowed: Whether more is known than what doubling has found.
    """

    bound: int
    attempts: int = ATTEMPTS
    good: int = 0
    bad: int | None = None
    narrowed: bool = False

    @property
    def size(self) -> int | None:
        """The next size; ``None`` when the search is over."""
        if self.bad is None:
            if self.good == self.bound:
                return None
            return min(self.bound, max(2 * self.good, _FIRST))
        if self.attempts <= 0 or self.bad - self.good <= 1:
            return None
        if self.good and not self.narrowed:
            return self.good + 1
        return (self.good + self.bad) // 2

    def accepted(self, size: int) -> None:
        """Takes in that a size was accepted."""
        self.narrowed = self.bad is not None
        self.good = size

    def refused(self, size: int) -> None:
        """Takes in that a size was refused, which cost a connection."""
        self.narrowed = self.bad is not None
        self.bad = size
        self.attempts -= 1


@dataclass(slots=True)
class _Refusal:
    text: str
    code: int | None


async def sizes(meeting: Meeting, plan: Plan, report: Report) -> bool:
    """Finds the longest message that an echo takes; tells whether there was no problem.

    Args:
        meeting: Opens connections.
        plan: What is checked; ``max_message`` bounds the search.
        report: Where the finding goes.
    """
    search = Search(plan.max_message)
    watch = Stopwatch()
    refusal: _Refusal | None = None
    slowness = 0.0  # seconds for each byte: a long message takes its time on a slow line
    talk = await meeting.talk(plain=True)
    try:
        while (size := search.size) is not None:
            if talk.ended is not None:
                await talk.leave()
                talk = await meeting.talk(plain=True)
            once = Stopwatch()
            failed = await _try(talk, size, plan.patience + _SLACK * slowness * size)
            if failed is None:
                search.accepted(size)
                slowness = once.seconds / size
                continue
            refusal = failed
            search.refused(size)
            if talk.ended is None:  # it may still come to itself, and must not be believed then
                await talk.leave()
                talk = await meeting.talk(plain=True)
    finally:
        await talk.leave()
    return _tell(search, refusal, watch.seconds, report)


async def _try(talk: Talk, size: int, patience: float) -> _Refusal | None:
    payload = (b"duologue check " * (size // 15 + 1))[:size]
    talk.text(payload)
    try:
        back, other = await talk.echo_of(payload, patience)
    except Ended as error:
        if error.end.of_no_step:
            raise
        return _Refusal(str(error), error.end.code)
    if back is not None:
        return None
    if other is not None:
        return _Refusal(f"an answer of {len(other):,} bytes that is no echo", None)
    return _Refusal(f"no answer within {patience:.1f} s", None)


def _tell(search: Search, refusal: _Refusal | None, seconds: float, report: Report) -> bool:
    details: dict[str, Any] = {"accepted": search.good, "refused": search.bad}
    if refusal is None or search.bad is None:
        text = f"messages up to {search.good:,} bytes come back; longer ones were not tried"
        return report.ok("message size", text, seconds, **details)
    details["code"] = refusal.code
    exact = search.bad - search.good == 1
    limit = (
        f"the longest message accepted has {search.good:,} bytes"
        if exact
        else f"messages of {search.good:,} bytes are accepted, of {search.bad:,} no more"
    )
    text = f"{limit}: {refusal.text}"
    if refusal.code == _TOO_BIG:
        if search.good < _MODEST:
            return report.note("message size", text, seconds, **details)
        else:
            return report.ok("message size", text, seconds, **details)
    elif refusal.code is None:
        text += "; a server should close with 1009 (message too big)"
        return report.problem("message size", text, seconds, **details)
    else:
        return report.note("message size", f"{text}, not with 1009", seconds, **details)
