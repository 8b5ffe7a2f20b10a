"""The client under test: asks the fuzzing server how many cases there are and echoes in each.

Usage: ``echo_client.py URL AGENT``. ``--library`` takes another library with the same API, for
comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
from typing import Any
from urllib.parse import quote


async def run(library: str, url: str, agent: str) -> None:
    connect = importlib.import_module(f"{library}.asyncio.client").connect
    closed = importlib.import_module(f"{library}.exceptions").ConnectionClosed
    options: dict[str, Any] = {"max_size": None, "ping_interval": None, "proxy": None}
    async with connect(f"{url}/getCaseCount", **options) as ws:
        cases = json.loads(await ws.recv())
    for case in range(1, cases + 1):
        address = f"{url}/runCase?case={case}&agent={quote(agent)}"
        async with connect(address, **options) as ws:
            try:
                async for message in ws:
                    await ws.send(message)
            except closed:
                pass  # many cases end with a fault; the suite judges how
    async with connect(f"{url}/updateReports?agent={quote(agent)}", **options):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("agent")
    parser.add_argument("--library", default="duologue")
    arguments = parser.parse_args()
    logging.getLogger(arguments.library).setLevel(logging.CRITICAL)
    asyncio.run(run(arguments.library, arguments.url, arguments.agent))


if __name__ == "__main__":
    main()
