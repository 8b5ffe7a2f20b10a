"""What became of tests, and what was expected of them."""

from __future__ import annotations

import collections
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Expectation:
    """That a test does not pass.

    Attributes:
        path: of the test, or, with a slash at its end, of a folder of tests.
        reason: why it doesn't.
        subtests: which of its subtests don't; all if there are none here.
        unsure: whether it passes sometimes.
        skip: whether there is no use in running it.
    """

    path: str
    reason: str
    subtests: tuple[str, ...] = ()
    unsure: bool = False
    skip: bool = False

    def is_about(self, path: str) -> bool:
        """Whether it is about a test."""
        return path == self.path or (self.path.endswith("/") and path.startswith(self.path))

    def excuses(self, result: Result) -> bool:
        """Whether a result is what was expected."""
        if not self.is_about(result.path):
            return False
        return not self.subtests or (
            not result.failure and set(result.failed) <= set(self.subtests)
        )


def read_expectations(file: Path) -> list[Expectation]:
    """Read them from a file."""
    entries = tomllib.loads(file.read_text())["test"]
    return [
        Expectation(**{**entry, "subtests": tuple(entry.get("subtests", ()))}) for entry in entries
    ]


@dataclass
class Result:
    """What became of a test.

    Attributes:
        path: of its file.
        variant: query of its address.
        failure: why the whole of it failed, if it did.
        failed: names of subtests, and why they failed.
        passed: how many subtests passed.
    """

    path: str
    variant: str
    failure: str = ""
    failed: dict[str, str] = field(default_factory=dict)
    passed: int = 0

    @property
    def good(self) -> bool:
        """Whether everything passed."""
        return not self.failure and not self.failed and self.passed > 0

    @property
    def name(self) -> str:
        """Path and variant."""
        return self.path + self.variant

    def describe(self) -> str:
        """Say what failed, in lines."""
        lines = [f"{self.name}: {self.failure or 'failed'}"]
        lines += [f"    {name}: {message}" for name, message in self.failed.items()]
        return "\n".join(lines)


def judge(results: Iterable[Result], expected: list[Expectation]) -> bool:
    """Compare with what is expected and print what differs; return whether nothing does."""
    counts: collections.Counter[str] = collections.Counter()
    wrong = []
    for result in results:
        excuse = next((one for one in expected if one.excuses(result)), None)
        counts["passed" if result.good else "excused" if excuse else "failed"] += 1
        if not result.good and excuse is None:
            wrong.append(result.describe())
        elif result.good and excuse is not None and not excuse.unsure:
            wrong.append(f"{result.name}: passes, but is listed: {excuse.reason}")
    print("\n".join([*wrong, ", ".join(f"{number} {name}" for name, number in counts.items())]))
    return not wrong
