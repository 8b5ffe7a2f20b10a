"""Launches Chromium, opens pages in it, and tells what happened in them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 15.0
"""Seconds after which a test gives up on the browser."""

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Tells of every event of every socket before the page's own handlers see it; changes nothing else.
# It calls out of the page, because a page's policy may forbid to evaluate anything inside it.
RECORDER = """
(() => {
  const Native = window.WebSocket;
  let count = 0;
  window.WebSocket = class WebSocket extends Native {
    constructor(...parameters) {
      super(...parameters);
      const socket = `${performance.timeOrigin} ${count++}`;
      for (const type of ["open", "message", "error", "close"]) {
        this.addEventListener(type, (event) => {
          const { code, reason, wasClean, origin } = event;
          tellOfEvent(socket, { type, code, reason, wasClean, origin });
        });
      }
    }
  };
})();
"""


def executable() -> str | None:
    """Return the path of the first Chromium on the ``PATH``."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def key_digest(certificate: trustme.LeafCert) -> str:
    """Return the digest by which Chromium is told to trust a key."""
    leaf = load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes())
    key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


@contextlib.asynccontextmanager
async def launched(
    playwright: Any, hosts: dict[str, int] | None = None, trusted_key: str | None = None
) -> AsyncIterator[Any]:
    """Run a Chromium with a fresh profile.

    Args:
        playwright: What ``async_playwright`` started.
        hosts: Ports on 127.0.0.1 that stand in for ``host:port``; no other name resolves.
        trusted_key: Digest of a public key whose certificates are trusted, whoever issued them.
    """
    arguments = list(ARGUMENTS)
    if hosts is not None:
        rules = [f"MAP {host} 127.0.0.1:{port}" for host, port in hosts.items()]
        nowhere = ["MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
        arguments.append(f"--host-resolver-rules={','.join([*rules, *nowhere])}")
    if trusted_key is not None:
        arguments.append(f"--ignore-certificate-errors-spki-list={trusted_key}")
    browser = await playwright.chromium.launch(executable_path=executable(), args=arguments)
    try:
        yield browser
    finally:
        await browser.close()


class Tab:
    """One page, with everything it logged and everything its sockets went through.

    Attributes:
        page: Playwright's page.
        console: Lines written with ``console.log``, in order.
        complaints: Errors that the browser itself put on the console.
        faults: Messages of uncaught exceptions, in order.
        sockets: Events of each socket, in the order in which the sockets had their first.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.console: list[str] = []
        self.complaints: list[str] = []
        self.faults: list[str] = []
        self.sockets: dict[str, list[dict[str, Any]]] = {}
        self._news = asyncio.Event()
        page.on("console", self._line)
        page.on("pageerror", lambda error: self._note(self.faults, str(error)))

    def _line(self, line: Any) -> None:
        if line.type == "log":
            self._note(self.console, line.text)
        elif line.type == "error":
            self._note(self.complaints, line.text)

    def record(self, source: Any, socket: str, event: dict[str, Any]) -> None:
        """Take note of an event that a socket of the page went through."""
        self.sockets.setdefault(socket, []).append(event)
        self._news.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def _note(self, notes: list[str], text: str) -> None:
        notes.append(text)
        self._news.set()

    async def logged(self, *lines: str) -> None:
        """Wait until as many lines were logged, and insist on exactly these."""
        await self._until(lambda: len(self.console) >= len(lines))
        assert self.console == list(lines), self.console

    async def failed(self, count: int) -> list[str]:
        """Wait for this many uncaught exceptions and return their messages."""
        await self._until(lambda: len(self.faults) >= count)
        return self.faults

    async def dial(self, url: str, protocols: list[str] | None = None) -> None:
        """Create a socket in the page; ``ws`` is its name there."""
        await self.page.evaluate(
            "([url, protocols]) => { window.ws = new WebSocket(url, protocols ?? []); }",
            [url, protocols],
        )

    def events(self, index: int = 0) -> list[dict[str, Any]]:
        """Return what a socket of the page went through so far."""
        return list(self.sockets.values())[index] if index < len(self.sockets) else []

    def event_types(self, index: int = 0) -> list[str]:
        return [event["type"] for event in self.events(index)]

    async def opened(self, index: int = 0) -> None:
        """Wait until a socket of the page is open."""
        await self._until(lambda: "open" in self.event_types(index))

    async def received(self, count: int, index: int = 0) -> None:
        """Wait until a socket of the page had this many messages."""
        await self._until(lambda: self.event_types(index).count("message") >= count)

    async def closed(self, index: int = 0) -> tuple[int, str, bool]:
        """Wait for the end of a socket; return code, reason and whether it was clean."""
        await self._until(lambda: "close" in self.event_types(index))
        last = self.events(index)[-1]
        assert last["type"] == "close"
        return last["code"], last["reason"], last["wasClean"]


@contextlib.asynccontextmanager
async def tab(browser: Any, url: str, **options: Any) -> AsyncIterator[Tab]:
    """Open a page in a profile of its own (no cookies or storage shared).

    Args:
        browser: What ``launched`` gave.
        url: Its address.
        options: Of Playwright's ``new_context``, such as the size of the window.
    """
    context = await browser.new_context(**options)
    try:
        opened = Tab(await context.new_page())
        await opened.page.expose_binding("tellOfEvent", opened.record)
        await opened.page.add_init_script(RECORDER)
        opened.page.set_default_timeout(PATIENCE * 1000)
        await opened.page.goto(url)
        yield opened
    finally:
        await context.close()
