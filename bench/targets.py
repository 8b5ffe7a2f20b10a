"""The targets: what was promised, and what a run found. Data first, then how to judge it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intervals import Estimate, estimate, ratio
from parts import Results, Rounds, unpack
from peers import LEVELS, PICOWS, RAW
from report import busy, column, cpu_ratio, pairs, speed, speed_ratio
from scenarios import CPU, SCENARIOS, Scenario

CALLBACK, COROUTINE = "duologue callback (duologue)", "duologue coroutine (duologue)"
NESTED = ("duologue callback (uvloop)", "duologue callback (asyncio)")
WEBSOCKETS = ("websockets", "websockets (uvloop)")
MICRO_WEBSOCKETS = ("socketify", "bun")
CLIENT, PICOWS_CLIENT = "duologue (duologue)", "picows (uvloop)"

UVICORN = ("uvicorn websockets", "uvicorn websockets-sansio", "uvicorn wsproto")
TOPICS, TWO_WORKERS = ("1000", "10000", "10000x100"), "duologue, 2 workers"
HOST, GUEST = "duologue.asgi (duologue)", "uvicorn duologue"

#: How a figure is got: a ratio of speeds, one of CPU times, or a value as it is.
SPEED, COST, VALUE = "speed", "cost", "value"


@dataclass(frozen=True)
class Target:
    """One promise.

    Attributes:
        scenario: key of the scenario, or of a client's mode.
        row: who it is about.
        wanted: the least ratio, or the largest value.
        versus: the fastest of these is compared with; empty for values.
        kind: SPEED, COST or VALUE.
        part: where the figures are: "servers", or another that ``publish.py`` knows.
    """

    scenario: str
    row: str
    wanted: float
    versus: tuple[str, ...] = ()
    kind: str = SPEED
    part: str = "servers"


def _against_raw(scenario: str, callback: float, coroutine: float) -> list[Target]:
    return [
        Target(scenario, CALLBACK, callback, (RAW,)),
        Target(scenario, COROUTINE, coroutine, (RAW,)),
    ]


TARGETS = [
    *_against_raw("a", 0.95, 0.9),
    *(Target("a", row, 0.8, (RAW,)) for row in NESTED),
    *_against_raw("b", 0.95, 0.82),
    Target("b", CALLBACK, 1.5, (PICOWS,)),
    Target("b", COROUTINE, 6, WEBSOCKETS),
    *_against_raw("c", 0.85, 0.7),
    Target("c", CALLBACK, 13, (PICOWS,)),
    *_against_raw("d", 0.82, 0.72),
    Target("d", CALLBACK, 1.5, (PICOWS,)),
    Target("e", CALLBACK, 1.4, (PICOWS,)),
    Target("e", COROUTINE, 1.35, (PICOWS,)),
    *_against_raw("f", 0.9, 0.75),
    Target("g", CALLBACK, 0.6, kind=VALUE),
    Target("g", COROUTINE, 1.5, kind=VALUE),
    Target("g-deflate", CALLBACK, 4, kind=VALUE),
    Target("g-deflate", COROUTINE, 5, kind=VALUE),
    Target("h", CALLBACK, 1, MICRO_WEBSOCKETS),
    Target("h16", CALLBACK, 1, MICRO_WEBSOCKETS),
    Target("i", CALLBACK, 2.5, (PICOWS,)),
    Target("i", CALLBACK, 0.85, ("socketify",)),
    Target("deflate", CALLBACK, 2, WEBSOCKETS),
    Target("deflate", CALLBACK, 2, ("aiohttp (uvloop)",)),
    Target("deflate", CALLBACK, 1, ("bun",)),
    Target("tls-b", CALLBACK, 1.3, (PICOWS,)),
    Target("tls-d", CALLBACK, 1.3, (PICOWS,)),
    Target("ping-pong", CLIENT, 1.15, (PICOWS_CLIENT,), part="clients"),
    Target("pipelined", CLIENT, 10, (PICOWS_CLIENT,), part="clients"),
    Target("feed", CLIENT, 1.5, (PICOWS_CLIENT,), part="clients"),
    Target("open", CALLBACK, 1, (PICOWS,)),
    Target("open", CALLBACK, 1, ("bun",)),
    Target("growth", CALLBACK, 1.5, kind=VALUE, part="growth"),
    Target("growth", COROUTINE, 1.5, kind=VALUE, part="growth"),
    *(Target(key, HOST, 2, UVICORN, part="hosts") for key in ("1", "100", "100x16")),
    *(Target(key, GUEST, 1.3, UVICORN, part="hosts") for key in ("1", "100", "100x16")),
    *(
        Target("requests", row, 5, kind=VALUE, part="routing")
        for row in ("GET, nothing there", "GET, a parameter", "WebSocket, a parameter")
    ),
    Target("messages", "App, a parameter", 0.98, ("serve()",), COST, "routing"),
    # 1.3 times the processor time of one process.
    *(Target(key, TWO_WORKERS, 1 / 1.3, ("duologue",), COST, "topics") for key in TOPICS),
    Target("lines", "duologue", 1.5, ("websocketd",), part="programs"),
    Target("ping-pong", "duologue", 1.5, ("websocketd",), part="programs"),
    *(Target(key, "duologue", 4, ("pywebsocket3",), COST, "handlers") for key in ("core", "echo")),
]


@dataclass(frozen=True)
class Verdict:
    """What was found of a target; without a figure it was not measured.

    The row is the target's, except for compression: there it is the fastest of ours that compresses
    at least as well as the one it is compared with.
    """

    target: Target
    found: Estimate | None = None
    versus: str | None = None
    cpu: Estimate | None = None
    row: str = ""
    #: Shares of the time in which both servers had the processor: less than nearly all means that
    #: something else was the limit, and the CPU ratio says more than that of the speeds.
    busy: tuple[float, float] | None = None

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the promise; None if there is none."""
        if self.found is None:
            return None
        if self.target.kind == VALUE:
            return self.found.value <= self.target.wanted
        return self.found.value >= self.target.wanted

    @property
    def is_certain(self) -> bool:
        """Whether the whole interval is on the median's side of the target."""
        if self.found is None:
            return False
        low, high, wanted = self.found.low, self.found.high, self.target.wanted
        return (
            high <= wanted or low > wanted
            if self.target.kind == VALUE
            else (low >= wanted or high < wanted)
        )


def _server_verdict(target: Target, results: Results) -> Verdict:
    scenario, rows = SCENARIOS[target.scenario], results.get(target.scenario, {})
    rounds = rows.get(target.row)
    if not rounds:
        return Verdict(target)
    if target.kind == VALUE:
        return Verdict(target, estimate(column(rounds, scenario.figure)))
    known = [name for name in target.versus if rows.get(name)]
    if not known:
        return Verdict(target)
    versus = max(known, key=lambda name: estimate(speed(scenario, rows[name])).value)
    row = _equal_ratio(scenario, rows, target.row, versus) if scenario.deflate else target.row
    found = speed_ratio(scenario, rows[row], rows[versus])
    cpu = cpu_ratio(rows[row], rows[versus])
    return Verdict(target, found, versus, cpu, row, (busy(rows[row]), busy(rows[versus])))


def _equal_ratio(scenario: Scenario, rows: Mapping[str, Rounds], row: str, versus: str) -> str:
    """Return the fastest row of ours with no more octets on the wire, or that with the fewest."""
    ours = [name for name in (row, *LEVELS.values()) if rows.get(name)]
    octets = {name: estimate(column(rows[name], "octets_in")).value for name in (*ours, versus)}
    equal = [name for name in ours if octets[name] <= octets[versus]]
    if not equal:
        return min(ours, key=lambda name: octets[name])
    return max(equal, key=lambda name: estimate(speed(scenario, rows[name])).value)


def _verdict(target: Target, results: Results) -> Verdict:
    rows = results.get(target.scenario, {})
    rounds = rows.get(target.row)
    if not rounds:
        return Verdict(target)
    if target.kind == VALUE:
        return Verdict(target, estimate(column(rounds, CPU)))
    figure = "per_second" if target.kind == SPEED else CPU
    known = {name: estimate(column(rows[name], figure)) for name in target.versus if rows.get(name)}
    if not known:
        return Verdict(target)
    best = max if target.kind == SPEED else min
    versus = best(known, key=lambda name: known[name].value)
    ours, theirs = pairs(rounds, rows[versus])
    cpu = cpu_ratio(ours, theirs) if CPU in ours[0] and CPU in theirs[0] else None
    if target.kind == COST:
        return Verdict(target, cpu, versus, cpu)
    return Verdict(
        target, ratio(column(ours, "per_second"), column(theirs, "per_second")), versus, cpu
    )


def growth_ratio(sizes: Mapping[str, Rounds]) -> Estimate | None:
    """Return CPU per message with 10 000 connections by that with 100."""
    many, few = pairs(sizes.get("10000", []), sizes.get("100", []))
    return ratio(column(many, "cpu_us"), column(few, "cpu_us")) if many else None


def judge(parts: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """Return a verdict for every target.

    Args:
        parts: what was measured, by the name of the part.
    """
    named = {target.part for target in TARGETS}
    known = {name: unpack(parts[name].get("results", {})) for name in named & parts.keys()}
    verdicts = []
    for target in TARGETS:
        results = known.get(target.part, {})
        if target.part == "servers":
            verdicts.append(_server_verdict(target, results))
        elif target.part == "growth":
            verdicts.append(Verdict(target, growth_ratio(results.get(target.row, {}))))
        else:
            verdicts.append(_verdict(target, results))
    return verdicts
