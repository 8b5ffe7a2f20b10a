"""The logs of every engine, made once; servers run while an engine needs them."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import Any

import pytest

from .engines import Logs, in_chromium, in_python, in_undici
from .servers import PEERS, Servers, all_servers


def _why_no_node() -> str | None:
    if shutil.which("node") is None:
        return "node is not on the PATH"
    if not (PEERS / "node_modules" / "undici").is_dir():
        return "the npm peers are not installed: run `npm ci` in tests/peers"
    return None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_peers: needs node and `npm ci` in tests/peers")


def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = _why_no_node() if item.get_closest_marker("needs_peers") else None
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="package")
def servers(runner: asyncio.Runner) -> Any:
    """All servers, npm's if it is installed; they serve while the loop of `runner` runs."""
    running = all_servers(npm=_why_no_node() is None)
    yield runner.run(running.__aenter__())
    runner.run(running.__aexit__(None, None, None))


@pytest.fixture(scope="package")
def python_logs(runner: asyncio.Runner, servers: Servers) -> Logs:
    return runner.run(in_python(servers, "asyncio"))


@pytest.fixture(scope="package")
def thread_logs(runner: asyncio.Runner, servers: Servers) -> Logs:
    return runner.run(in_python(servers, "threads"))


@pytest.fixture(scope="package")
def chromium_logs(runner: asyncio.Runner, servers: Servers, browser: Any) -> Logs:
    return runner.run(in_chromium(browser, servers))


@pytest.fixture(scope="package")
def undici_logs(runner: asyncio.Runner, servers: Servers) -> Logs:
    return runner.run(in_undici(servers))
