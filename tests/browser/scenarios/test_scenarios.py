"""Each scenario has the same log in Chromium, in undici, in a coroutine and in a script."""

from __future__ import annotations

from typing import Any

import pytest

from .data import SCENARIOS
from .differences import DIFFERENCES, Difference, in_flight
from .engines import Entry, Logs
from .language import Scenario

# The first test that needs a log waits for all scenarios of an engine.
pytestmark = pytest.mark.timeout(240)

RUNS = [
    pytest.param(scenario, f"{scenario.name} [{server}]", id=f"{scenario.name} [{server}]")
    for scenario in SCENARIOS
    for server in scenario.servers
]


def log_of(logs: Logs, scenario: Scenario, name: str) -> list[Entry]:
    """Return what is to be compared; skip what has no server here."""
    if name not in logs and name.endswith("[npm]"):
        pytest.skip("npm ws is not installed")
    log = in_flight(scenario, logs[name])
    assert {"late": True} not in log
    return log


def compare(engine: str, scenario: Scenario, name: str, ours: Logs, theirs: Logs) -> None:
    here, there = log_of(ours, scenario, name), log_of(theirs, scenario, name)
    for difference in DIFFERENCES:
        if difference.concerns(engine, name):
            here, there = difference.apply(here), difference.apply(there)
    assert here == there


@pytest.mark.needs_chromium
@pytest.mark.parametrize(("scenario", "name"), RUNS)
def test_as_in_chromium(
    scenario: Scenario, name: str, python_logs: Logs, chromium_logs: Logs
) -> None:
    compare("chromium", scenario, name, python_logs, chromium_logs)


@pytest.mark.needs_peers
@pytest.mark.parametrize(("scenario", "name"), RUNS)
def test_as_in_undici(scenario: Scenario, name: str, python_logs: Logs, undici_logs: Logs) -> None:
    compare("undici", scenario, name, python_logs, undici_logs)


@pytest.mark.parametrize(("scenario", "name"), RUNS)
def test_a_script_is_as_a_coroutine(
    scenario: Scenario, name: str, python_logs: Logs, thread_logs: Logs
) -> None:
    assert log_of(thread_logs, scenario, name) == log_of(python_logs, scenario, name)


def is_needed(difference: Difference, pattern: str, ours: Logs, theirs: Logs) -> bool:
    """Whether a scenario of this name or pattern would fail without the difference."""
    others = [one for one in DIFFERENCES if one is not difference and not one.sometimes]
    alone = Difference(difference.engine, "", (pattern,))
    for scenario in SCENARIOS:
        for server in scenario.servers:
            name = f"{scenario.name} [{server}]"
            if name not in ours or not alone.concerns(difference.engine, name):
                continue
            here, there = in_flight(scenario, ours[name]), in_flight(scenario, theirs[name])
            for other in others:
                if other.concerns(difference.engine, name):
                    here, there = other.apply(here), other.apply(there)
            if here != there:
                return True
    return False


def unneeded(engine: str, ours: Logs, theirs: Logs) -> list[str]:
    return [
        pattern
        for difference in DIFFERENCES
        if difference.engine == engine and not difference.sometimes
        for pattern in difference.scenarios
        if not is_needed(difference, pattern, ours, theirs)
    ]


@pytest.mark.needs_chromium
def test_chromium_differs_wherever_the_table_says_so(
    python_logs: Logs, chromium_logs: Logs
) -> None:
    assert unneeded("chromium", python_logs, chromium_logs) == []


@pytest.mark.needs_peers
def test_undici_differs_wherever_the_table_says_so(python_logs: Logs, undici_logs: Logs) -> None:
    assert unneeded("undici", python_logs, undici_logs) == []


def test_names_are_unique() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    "change",
    [
        {"readyState": 1},
        {"code": 1006},
        {"wasClean": False},
        {"bufferedAmount": 1},
        {"interface": "Event"},
    ],
)
def test_one_wrong_value_is_noticed(change: dict[str, Any], python_logs: Logs) -> None:
    scenario = next(one for one in SCENARIOS if one.name == "close(1000)")
    name = "close(1000) [ours]"
    wrong = [*python_logs[name][:-1], python_logs[name][-1] | change]
    with pytest.raises(AssertionError):
        compare("chromium", scenario, name, python_logs, {name: wrong})
