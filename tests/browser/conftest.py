"""One browser and one event loop for all tests of this folder.

Tests are skipped where Chromium or Playwright is missing; under ``CI=true`` they fail instead.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
from collections.abc import Iterator
from typing import Any

import pytest

from .chromium import executable, launched


def _why_no_chromium() -> str | None:
    if executable() is None:
        return "no Chromium on the PATH"
    if importlib.util.find_spec("playwright") is None:
        return "Playwright for Python is not installed"
    return None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_chromium: needs Chromium and Playwright for Python")


def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = _why_no_chromium() if item.get_closest_marker("needs_chromium") else None
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="package")
def runner() -> Iterator[asyncio.Runner]:
    """The loop that Playwright, the servers and the tests live in; it runs only within tests."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="package")
def playwright(runner: asyncio.Runner) -> Iterator[Any]:
    from playwright.async_api import async_playwright

    playwright = runner.run(async_playwright().start())
    yield playwright
    runner.run(playwright.stop())


@pytest.fixture(scope="package")
def browser(runner: asyncio.Runner, playwright: Any) -> Iterator[Any]:
    """A Chromium for all tests that need no names resolved in a special way."""
    launching = launched(playwright)
    yield runner.run(launching.__aenter__())
    runner.run(launching.__aexit__(None, None, None))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test in the loop of ``runner`` instead of one of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    runner = pyfuncitem.funcargs["runner"]
    assert isinstance(runner, asyncio.Runner)
    names = pyfuncitem._fixtureinfo.argnames
    runner.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
