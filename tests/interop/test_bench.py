"""``duologue bench`` on servers that aren't ours."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from .peer import PATIENCE, TlsFiles
from .test_check import npm_ws, websockets_echo


async def load(url: str, *words: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duologue", "bench", url, "--proxy", "none", "--json", "-"),
        *words,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * PATIENCE):
        output, _ = await process.communicate()
    assert process.returncode == 0, output
    found: dict[str, Any] = json.loads(output)
    return found


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(
    "words",
    [
        ["-c", "5", "--in-flight", "3"],
        ["--rate", "500", "--binary", "-s", "3000"],
        ["--compression", "-s", "3000"],
    ],
)
@pytest.mark.parametrize(
    "server", [websockets_echo, pytest.param(npm_ws, marks=pytest.mark.needs_node)]
)
async def test_every_message_comes_back(
    server: Any, words: list[str], secure: bool, tls_files: TlsFiles
) -> None:
    async with server(tls_files, secure) as url:
        found = await load(url, "-n", "300", "--ca", str(tls_files.authority), *words)
    assert found["answered"] == 300
    assert found["errors"]["total"] == 0
