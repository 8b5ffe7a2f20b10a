"""Runs web-platform-tests for WebSocket against duologue's browser classes, and judges the result.

    python -m conformance.run_wpt --clone           the pinned revision, into .cache/wpt
    python -m conformance.run_wpt --tests DIRECTORY            those of a directory
    python -m conformance.run_wpt --clone --only Close         with this in their name

The tests run in a JavaScript engine (QuickJS), whose ``WebSocket``, ``WebSocketStream``, ``Event``,
``Blob`` and so on are thin proxies of the Python classes (``wpt/shim.js``). Their server is
pywebsocket3 with the handlers of the tests.

What cannot pass is listed in ``wpt/expectations.toml``, with the reason. Exit status 0: everything
else passed, and nothing passed that is listed; 1: not so; 2: the run itself went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import http.cookiejar
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from conformance.wpt.bridge import Cookies, JavaScriptError, Page
from conformance.wpt.judging import Expectation, Result, judge, read_expectations
from conformance.wpt.servers import ADDRESS, HOST, Surroundings, serve_handlers
from conformance.wpt.tests import Test, find_tests, load_script
from duologue.client.browser.abort import AbortController, AbortSignal
from duologue.client.browser.blob import Blob
from duologue.client.browser.dom_exception import DOMException
from duologue.client.browser.event_target import EventTarget
from duologue.client.browser.events import CloseEvent, Event, MessageEvent
from duologue.client.browser.stream import WebSocketStream
from duologue.client.browser.streams_error import WebSocketError
from duologue.client.browser.streams_readable import ReadableStream, ReadableStreamDefaultReader
from duologue.client.browser.streams_writable import WritableStream, WritableStreamDefaultWriter
from duologue.client.browser.websocket import WebSocket

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = ROOT / ".cache" / "wpt"
EXPECTATIONS = HERE / "wpt" / "expectations.toml"
REPOSITORY = "https://github.com/web-platform-tests/wpt"
# Of the tests; newer ones may have more.
REVISION = "92a5239ed2ba1e3ad05983575aad2f0809009e34"
NEEDED = ("websockets", "resources", "common")

SECONDS = 60.0
SLOW_SECONDS = 120.0
AT_ONCE = 4

CLASSES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(AbortController, AbortSignal, Blob, CloseEvent, DOMException, Event, EventTarget),
        *(MessageEvent, ReadableStream, ReadableStreamDefaultReader, WebSocket, WebSocketError),
        *(WebSocketStream, WritableStream, WritableStreamDefaultWriter),
    )
}

REPORT = """
__add_document();
add_completion_callback((tests, status) => {
  globalThis.__result = JSON.stringify({
    status: status.status,
    message: String(status.message || ""),
    tests: tests.map((test) => [test.name, test.status, String(test.message || "")]),
  });
});
"""


async def run_test(root: Path, test: Test, around: Surroundings) -> Result:
    """Run one file in one variant."""
    secure = test.variant.startswith("?wss")
    origin = f"http{'s' * secure}://{HOST}:{around.ports['https' if secure else 'http']}"
    location = f"{origin}/{test.path}{test.variant}"
    cookies = http.cookiejar.CookieJar()

    def arguments(name: str, args: tuple[Any, ...]) -> dict[str, Any]:
        if name not in ("WebSocket", "WebSocketStream"):
            return {}
        options = {"base": location, "origin": origin, "cookies": cookies, "proxy": None}
        if args and str(args[0]).lower().startswith(("wss:", "https:")):
            options["ssl"] = around.trust
        return options

    result = Result(test.path, test.variant)
    load = functools.partial(load_script, root, test.path, around.fields())
    page = Page(CLASSES, arguments, location, Cookies(cookies, location), load)
    try:
        page.run((root / "resources" / "testharness.js").read_text())
        page.run(REPORT)
        for name, script in test.scripts:
            try:
                page.run(script)
            except Exception as exc:
                result.failure = f"{name}: {exc}"
                return result
        page.run_microtasks()
        await wait_for_result(page, result, SLOW_SECONDS if test.slow else SECONDS)
    finally:
        page.close()
    return result


async def wait_for_result(page: Page, result: Result, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (text := page.run("globalThis.__result")) is None:
        if time.monotonic() > end:
            result.failure = f"no result after {seconds} s"
            return
        await asyncio.sleep(0.02)
    found = json.loads(text)
    if found["status"] != 0:
        result.failure = found["message"] or f"harness status {found['status']}"
    for name, status, message in found["tests"]:
        if status == 0:
            result.passed += 1
        else:
            result.failed[name] = message


class LocalLoop(asyncio.SelectorEventLoop):
    """An event loop for which all names lead to this machine."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Look up the address that the tests' servers listen on."""
        return await super().getaddrinfo(ADDRESS, port, **options)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Give what nobody caught to the page it belongs to."""
    exc = context.get("exception")
    if isinstance(exc, JavaScriptError):
        exc.page.report(exc)
    else:
        loop.default_exception_handler(context)


async def run_all(
    root: Path, tests: list[Test], around: Surroundings, at_once: int
) -> list[Result]:
    """Run tests, some at the same time."""
    asyncio.get_running_loop().set_exception_handler(report)
    places = asyncio.Semaphore(at_once)

    async def run(test: Test) -> Result:
        async with places:
            result = await run_test(root, test, around)
            print("." if result.good else "F", end="", flush=True)
            return result

    results = await asyncio.gather(*(run(test) for test in tests))
    print()
    return results


def clone() -> Path:
    """Get the pinned revision of the tests, only what is needed."""
    if not CACHE.exists():
        git = ["git", "-C", str(CACHE)]
        CACHE.mkdir(parents=True)
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "sparse-checkout", "set", *NEEDED], check=True)
        fetch = ["fetch", "-q", "--depth", "1", "--filter=blob:none", REPOSITORY, REVISION]
        subprocess.run([*git, *fetch], check=True)
        subprocess.run([*git, "checkout", "-q", "FETCH_HEAD"], check=True)
    return CACHE


def choose_tests(
    root: Path, options: argparse.Namespace, around: Surroundings, expected: list[Expectation]
) -> list[Test]:
    """Choose what was asked for and can be run; HTTP/2 can't."""
    skipped = [one for one in expected if one.skip]
    tests = [
        test
        for test in find_tests(root, options.below, around.fields())
        if options.only in test.name and test.variant != "?wpt_flags=h2"
    ]
    chosen = [test for test in tests if not any(one.is_about(test.path) for one in skipped)]
    if len(tests) > len(chosen):
        print(f"{len(tests) - len(chosen)} not applicable")
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tests", type=Path, help="directory of web-platform-tests")
    parser.add_argument("--clone", action="store_true", help="get the pinned revision with git")
    parser.add_argument("--only", default="", help="run tests with this in their name")
    parser.add_argument("--below", default="websockets", help="directory of the tests to run")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="tests at the same time")
    options = parser.parse_args()
    if options.tests is None and not options.clone:
        parser.error("either --tests or --clone is needed")
    root = clone() if options.tests is None else options.tests.resolve()
    expected = read_expectations(EXPECTATIONS)
    with tempfile.TemporaryDirectory() as directory:
        with serve_handlers(root, Path(directory)) as around:
            tests = choose_tests(root, options, around, expected)
            with asyncio.Runner(loop_factory=LocalLoop) as runner:
                results = runner.run(run_all(root, tests, around, options.at_once))
    return 0 if judge(results, expected) else 1


if __name__ == "__main__":
    sys.exit(main())
