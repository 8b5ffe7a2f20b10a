"""Measures FastAPI under our host, under uvicorn, and under uvicorn with our protocol.

WebSocket echo is measured in messages a second. Plain HTTP, a "hello", is measured in the server's
processor time a request, since its client, in Python, is slower than some of the servers.

``python bench/hosts.py``; results go to ``.cache/bench/parts/hosts.json``. Rounds are interleaved
as in ``run.py``. Beside messages a second stands the server's processor time for one, which says
more on a machine that has other work. Ratios are to the best of uvicorn's own protocols.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import parts
from intervals import estimate
from measure import GENERATOR_CORE, Running, measure, pinned, processor_seconds
from peers import Server, Variant
from places import CLIENTS, PYTHON
from places import SERVERS as FOLDER
from report import column, introduction, machine, versus_table
from scenarios import CPU, Scenario

#: What plain HTTP is compared with.
OTHER = "uvicorn none"
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
HELLO = Scenario("hello", "hello over plain HTTP, 32 connections", ())
SERVERS = dict.fromkeys(SCENARIOS, ROWS) | {
    HELLO: (_uvicorn("none"), _granian(), _host("duologue"), _host("uvloop"))
}


def hello(running: Running, scenario: Scenario, seconds: float) -> dict[str, float]:
    """Measure the processor time of a plain HTTP request."""
    before = processor_seconds(running)
    words = [str(PYTHON), str(CLIENTS / "hello_client.py"), "--port", str(running.port)]
    words = pinned(GENERATOR_CORE, [*words, "--duration", str(seconds)])
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)["answers"]
    return {CPU: (processor_seconds(running) - before) / answers * 1e6}


def page(part: Mapping[str, Any]) -> str:
    """Return the tables of a run; ratios are to the best of uvicorn's own protocols."""
    results = parts.unpack(part["results"])
    tables = []
    for scenario in SERVERS:
        rows = results[scenario.key]
        own = [name for name in map("uvicorn {}".format, OWN) if rows.get(name)]
        best = min(own, key=lambda name: estimate(column(rows[name], CPU)).value, default=OTHER)
        unit = "request" if scenario is HELLO else "message"
        tables.append(versus_table(f"FastAPI, {scenario.title}", rows, best, unit))
    return "\n".join(tables)


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    part: dict[str, Any] = {"machine": machine(), "seconds": arguments.seconds, "notes": []}
    results: parts.Results = {}
    for scenario, servers in SERVERS.items():
        take = hello if scenario is HELLO else measure
        found = results[scenario.key] = {server.name: [] for server in servers}
        with ExitStack() as stack:
            running = [stack.enter_context(Running(server, scenario)) for server in servers]
            for each in running:
                each.wait_until_listening()
                each.freeze()
            for number in range(arguments.rounds):
                for each in random.sample(running, len(running)):
                    each.thaw()
                    figures = take(each, scenario, arguments.seconds)
                    each.freeze()
                    found[each.server.name].append({"round": number, **figures})
        part["results"] = parts.pack(results)
        parts.save("hosts", part)
    print("# Hosts\n", introduction(part), page(part), sep="\n")


if __name__ == "__main__":
    main()
