"""Lets each implementation perform all scenarios; returns their logs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .data import SCENARIOS
from .servers import PEERS, Servers

HERE = Path(__file__).parent
PERFORMER = HERE / "performer.mjs"
LIMIT = 20.0
"""Seconds for one scenario."""

Entry = dict[str, Any]
Logs = dict[str, list[Entry]]

IN_PAGE = """async ([performer, job]) => {
  const { perform } = await import(performer);
  const { scenarios, limit } = JSON.parse(job);
  const reports = [];
  addEventListener("error", (event) => {
    reports.push(event.error.message);
    event.preventDefault();
  });
  const makeEvent = (name, ...parameters) => new window[name](...parameters);
  // Chromium makes more connections at once wait for seconds.
  const environment = { WebSocket, makeEvent, limit, reports, atOnce: 6 };
  return JSON.stringify(await perform(scenarios, environment));
}"""


def performances(addresses: dict[str, str]) -> list[dict[str, Any]]:
    """Return every scenario with each of its servers, those that there are, as JSON has it."""
    found = []
    for scenario in SCENARIOS:
        for server in scenario.servers:
            if server in addresses:
                plain = json.dumps(asdict(scenario))
                for name, address in {**addresses, "server": addresses[server]}.items():
                    plain = plain.replace(f"{{{name}}}", address)
                found.append(json.loads(plain) | {"name": f"{scenario.name} [{server}]"})
    return found


def job(addresses: dict[str, str]) -> str:
    base = f"http://{addresses['ours']}/folder/page.html"
    return json.dumps({"scenarios": performances(addresses), "base": base, "limit": LIMIT})


def with_heard(servers: Servers, logs: Logs) -> Logs:
    """Add to the logs which Close frames the raw server has heard, and let it forget them."""
    for performance in performances(servers.addresses):
        for step in performance["steps"]:
            url = str(step["new"][0]) if step.get("new") else ""
            path = url.removeprefix(f"ws://{servers.addresses['raw']}/")
            if path in servers.raw.heard:
                logs[performance["name"]].append({"server heard": servers.raw.heard.pop(path)})
    return logs


async def in_chromium(browser: Any, servers: Servers) -> Logs:
    """Perform the scenarios in a page of our server's."""
    addresses = servers.addresses
    context = await browser.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"http://{addresses['ours']}/folder/page.html")
        source = base64.b64encode(PERFORMER.read_bytes()).decode()
        parameters = [f"data:text/javascript;base64,{source}", job(addresses)]
        return with_heard(servers, json.loads(await page.evaluate(IN_PAGE, parameters)))
    finally:
        await context.close()


async def in_undici(servers: Servers) -> Logs:
    return await by_program(servers, "node", str(HERE / "undici.mjs"), str(PEERS), str(PERFORMER))


async def in_python(servers: Servers, mode: str) -> Logs:
    """Perform the scenarios with `duologue.WebSocket`: in ``asyncio``, or with ``threads``."""
    program = str(HERE / "performer.py")
    return await by_program(servers, sys.executable, "-W", "error", program, mode)


async def by_program(servers: Servers, *command: str) -> Logs:
    """Run a program that takes the job as its input and prints the logs."""
    async with child(*command) as process:
        output, _ = await process.communicate(job(servers.addresses).encode())
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    return with_heard(servers, json.loads(output))


@contextlib.asynccontextmanager
async def child(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
