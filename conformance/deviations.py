"""What front-ends do otherwise than the Autobahn|Testsuite wants, case by case, and why.

A front-end does what its original does, and that is not always what the suite calls right. Each
case named here must end exactly as it says here, so that nothing else hides behind a name: one
that ends otherwise fails the run, and one that passes does, too, until it is taken off the list.
Only where two things race, a case may pass as well.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Deviation:
    """How cases end that are not expected to pass.

    Attributes:
        cases: Patterns of their numbers.
        behavior: The suite's verdict on what the server did.
        close: Its verdict on how the connection closed.
        code: Of the server's Close frame; ``None`` if there was none.
        why: The reason.
        may_pass: Whether it depends on what comes first, so that they sometimes pass.
    """

    cases: tuple[str, ...]
    behavior: str
    close: str
    code: int | None
    why: str
    may_pass: bool = False

    def __str__(self) -> str:
        return f"{self.behavior}, close {self.close} with code {self.code}"


@dataclass(frozen=True)
class FrontEnd:
    """A front-end under test.

    Attributes:
        testee: The script that serves it.
        shares: The cases of a whole run, in shares that run at the same time.
        quick: Those of a run that takes seconds.
        left_out: Cases that are not run, and why.
        deviations: What is not expected to pass.
    """

    testee: str
    shares: tuple[str, ...]
    quick: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    deviations: tuple[Deviation, ...] = ()

    def deviation(self, case: str) -> Deviation | None:
        """Return how a case is to end that is not expected to pass, or None."""
        for each in self.deviations:
            if any(fnmatch.fnmatchcase(case, pattern) for pattern in each.cases):
                return each
        return None


_UNSUPPORTED = "what handlers can't be given is unsupported, not wrong: Close 1003, not 1002"
_STILL_ANSWERED = f"{_UNSUPPORTED}; and who waits for the answer to it answers pings"
_CLOSE_IS_TAKEN = "code and reason of the peer's Close frame are the handler's to judge"
_DECLINED = "every offer of the suite has client_no_context_takeover, for which it is declined"
_WHOLE_TEXTS = "a text is looked at when it is whole"

_FAULT_FIRST = "a message and then a fault: the connection may end before the program has answered"
_NO_LINES = "a binary message is no line, so cat writes none, and without its end nothing is sent"
_NO_COMPRESSION = "as with the original there is no compression"

FRONT_ENDS = {
    "pywebsocket": FrontEnd(
        testee="echo_handler.py",
        shares=("1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*,12.*,13.*", "9.*"),
        quick=("1.*,2.*,3.*,4.*,5.*,6.3.*,6.4.1,7.*,9.1.1,9.2.1,12.1.1,13.1.1",),
        deviations=(
            Deviation(
                ("3.1", "3.5", "3.6", "3.7", "4.1.1", "4.1.2", "4.2.1", "4.2.2"),
                *("OK", "WRONG CODE", 1003, _UNSUPPORTED),
            ),
            Deviation(
                ("3.2", "3.3", "3.4", "4.1.[345]", "4.2.[345]"),
                *("FAILED", "WRONG CODE", 1003, _STILL_ANSWERED),
            ),
            Deviation(("6.4.[1234]",), "NON-STRICT", "OK", 1007, _WHOLE_TEXTS),
            Deviation(("7.5.1", "7.9.*"), "FAILED", "WRONG CODE", 1000, _CLOSE_IS_TAKEN),
            Deviation(("12.*", "13.*"), "UNIMPLEMENTED", "OK", 1000, _DECLINED),
        ),
    ),
    "websocketd": FrontEnd(
        testee="echo_program.py",
        shares=("1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*,12.*,13.*", "9.1.*,9.3.*,9.5.*,9.7.*"),
        quick=("1.1.*,1.2.1,2.*,3.*,4.*,5.*,6.3.*,7.*,9.1.1,12.1.1,13.1.1",),
        left_out={"9.2.*, 9.4.*, 9.6.*, 9.8.*": f"{_NO_LINES}, for minutes"},
        deviations=(
            Deviation(("1.2.*",), "FAILED", "WRONG CODE", 1001, _NO_LINES),
            Deviation(
                ("3.[234]", "4.[12].[345]", "5.15"),
                *("NON-STRICT", "OK", 1002, _FAULT_FIRST, True),
            ),
            Deviation(("12.*", "13.*"), "UNIMPLEMENTED", "OK", 1000, _NO_COMPRESSION),
        ),
    ),
}
