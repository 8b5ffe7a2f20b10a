"""Measures FastAPI under our host, under uvicorn, and under uvicorn with our protocol.

WebSocket echo is measured in messages a second. Plain HTTP, a "hello", is measured in the server's
processor time a request, since its client, in Python, is slower than some of the servers.

``python bench/asgi.py``; results go to ``.cache/bench/parts/asgi.json``. Rounds are interleaved as
in ``run.py``. Beside messages a second stands the server's processor time for one, which says more
on a machine that has other work. Ratios are to the best of uvicorn's own protocols.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
from contextlib import ExitStack
from pathlib import Path

import parts
from measure import GENERATOR_CORE, Failed, Running, measure, pinned
from peers import Server, Variant
from places import CLIENTS, PYTHON
from places import SERVERS as FOLDER
from scenarios import CPU, RATE, Scenario

APPLICATION = "fastapi_application:app"
OWN = ("websockets", "websockets-sansio", "wsproto")
OURS = "duologue.asgi.uvicorn:Protocol"

SCENARIOS = (
    Scenario("1", "1 connection, ping-pong, 32 B of text", ("echo", "--text")),
    Scenario(
        "100",
        "100 connections, ping-pong, 32 B of text",
        ("echo", "--text", "--connections", "100"),
    ),
    Scenario(
        "100x16",
        "100 connections, 16 in flight, 32 B of text",
        ("echo", "--text", "--connections", "100", "--depth", "16"),
    ),
)


def _uvicorn(protocol: str) -> Server:
    def command(variant: Variant) -> list[str]:
        words = [str(PYTHON), "-m", "uvicorn", APPLICATION, "--port", str(variant.port)]
        words += ["--ws", protocol, "--http", "httptools", "--loop", "uvloop"]
        words += ["--no-access-log", "--log-level", "error"]
        return [*words, "--ws-per-message-deflate", "false"]

    name = "duologue" if protocol == OURS else protocol
    return Server(f"uvicorn {name}", command, "uvloop, httptools", packages=("uvicorn",))


def _host(loop: str) -> Server:
    def command(variant: Variant) -> list[str]:
        words = [str(PYTHON), str(FOLDER / "asgi_server.py"), "--port", str(variant.port)]
        return [*words, "--loop", loop]

    return Server(f"duologue.asgi ({loop})", command, "our host", ours=True)


def _granian() -> Server:
    def command(variant: Variant) -> list[str]:
        words = [str(PYTHON), "-m", "granian", APPLICATION, "--port", str(variant.port)]
        words += ["--interface", "asgi", "--loop", "uvloop", "--workers", "1", "--no-log"]
        return [*words, "--runtime-mode", "st", "--runtime-threads", "1", "--http", "1"]

    return Server("granian", command, "uvloop", packages=("granian",))


ROWS = (*map(_uvicorn, (*OWN, OURS)), _host("duologue"), _host("uvloop"))
HELLO = (_uvicorn("none"), _granian(), _host("duologue"), _host("uvloop"))


def round_of(
    scenario: Scenario, running: list[Running], seconds: float
) -> dict[str, dict[str, float]]:
    """Measure every server once."""
    found = {}
    for each in running:
        each.thaw()
        try:
            found[each.server.name] = measure(each, scenario, seconds)
        except Failed as failure:
            print(f"{each.server.name}: {failure}")
        each.freeze()
    return found


def processor_seconds(running: Running) -> float:
    """Return the time that the server's processes have spent on a processor."""
    ticks = 0
    for pid in running.pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def hello(seconds: float, rounds: int) -> dict[str, list[float]]:
    """Measure microseconds of processor time for a plain HTTP request."""
    found: dict[str, list[float]] = {server.name: [] for server in HELLO}
    with ExitStack() as stack:
        running = [stack.enter_context(Running(server, SCENARIOS[0])) for server in HELLO]
        for each in running:
            each.wait_until_listening()
            each.freeze()
        for _ in range(rounds):
            for each in running:
                each.thaw()
                before = processor_seconds(each)
                words = [str(PYTHON), str(CLIENTS / "hello_client.py"), "--port", str(each.port)]
                words = pinned(GENERATOR_CORE, [*words, "--duration", str(seconds)])
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                answers = json.loads(done.stdout)["answers"]
                found[each.server.name].append((processor_seconds(each) - before) / answers * 1e6)
                each.freeze()
    return found


def show(title: str, table: dict[str, list[float]], *, more: bool) -> None:
    """Print medians, and their ratios to the best of uvicorn's own: above 1 is better."""
    medians = {name: statistics.median(found) for name, found in table.items() if found}
    own = [medians[name] for name in (f"uvicorn {each}" for each in OWN) if name in medians]
    best = (max if more else min)(own, default=float("nan"))
    print(title)
    for name, figure in medians.items():
        ratio = figure / best if more else best / figure
        print(f"  {name:32} {figure:10.1f}  {ratio:5.2f}")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    results: dict[str, dict[str, list[float]]] = {}
    for scenario in SCENARIOS:
        with ExitStack() as stack:
            running = [stack.enter_context(Running(server, scenario)) for server in ROWS]
            for each in running:
                each.wait_until_listening()
                each.freeze()
            rounds = [
                round_of(scenario, running, arguments.seconds) for _ in range(arguments.rounds)
            ]
        for figure in (RATE, CPU):
            table = {
                server.name: [one[server.name][figure] for one in rounds if server.name in one]
                for server in ROWS
            }
            results[f"{scenario.key} {figure}"] = table
            show(f"{scenario.title} ({figure})", table, more=figure == RATE)
    table = results["hello"] = hello(arguments.seconds, arguments.rounds)
    print("hello over plain HTTP, 32 connections")
    for name, times in table.items():
        print(f"  {name:32} {statistics.median(times):10.1f} µs of processor time a request")
    parts.save("asgi", results)


if __name__ == "__main__":
    main()
