"""The plug-in of pytest, as a project that uses it has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = """
import asyncio

import pytest

import duologue
from duologue import testing


@pytest.mark.virtual_time
async def test_time():
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await asyncio.sleep(3600)
    assert loop.time() - begun == 3600


@pytest.mark.simulated_network(seed=7, delay=2.0)
async def test_network(simulated_network):
    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    loop = asyncio.get_running_loop()
    async with duologue.serve(echo, "server.test", 80):
        async with duologue.connect("ws://server.test/") as ws:
            begun = loop.time()
            await ws.send("hi")
            assert await ws.recv() == "hi"
            assert loop.time() - begun == 4.0


@pytest.mark.virtual_time
async def test_failing():
    assert 1 == 2


def test_plain():
    pass
"""

# As pytest-asyncio does in its automatic mode: what runs is no coroutine function any more.
OTHER = """
import inspect

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if inspect.iscoroutinefunction(item.obj) and "beside" in item.nodeid:
            item.runtest = taking_over(item, item.runtest)


def taking_over(item, runtest):
    def run():
        item.obj = lambda **arguments: pytest.fail("it ran elsewhere")
        runtest()

    return run
"""


def test_a_project(tmp_path: Path) -> None:
    for folder, conftest in (("alone", ""), ("beside", OTHER)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "conftest.py").write_text(conftest)
        (tmp_path / folder / f"test_{folder}.py").write_text(PROJECT)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", "-q"]
    result = subprocess.run(
        [*command, "-p", "duologue.testing.pytest_plugin"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "2 failed, 6 passed" in result.stdout, result.stdout + result.stderr
    assert result.stdout.count("- assert 1 == 2") == 2
