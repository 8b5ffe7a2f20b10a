"""The chat's rooms in a browser: who is there, which worker serves, and what happens if it dies."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .chromium import Tab, tab
from .command import Running, running

pytestmark = [
    pytest.mark.needs_chromium,
    pytest.mark.skipif(sys.platform == "win32", reason="several workers need fork()"),
]


async def shown(page: Tab, selector: str, text: str) -> None:
    """Wait until something shows exactly this."""
    exactly = re.compile(rf"^\s*{re.escape(text)}\s*$")
    await page.page.locator(selector).filter(has_text=exactly).first.wait_for()


async def gone(page: Tab, selector: str, text: str) -> None:
    await page.page.locator(selector).filter(has_text=text).wait_for(state="detached")


async def connected(page: Tab) -> None:
    await shown(page, "#state", "Connected")


async def served_by(page: Tab) -> tuple[int, int]:
    """Return the number and the process of the worker, once the page is connected."""
    await connected(page)
    found = re.match(r"Worker (\d) of 2, process (\d+),", await page.page.text_content("#worker"))
    assert found
    return int(found[1]), int(found[2])


async def go_to_worker(page: Tab, number: int) -> int:
    """Have a page change its worker if need be; return the worker's process."""
    while (found := await served_by(page))[0] != number:
        await page.page.click("#move")
        await page.page.locator("#worker").filter(has_text=f"Worker {number} of 2").wait_for()
    return found[1]


async def enter(page: Tab, *, room: str | None = None, name: str | None = None) -> None:
    for field, value in (("#room", room), ("#name", name)):
        if value is not None:
            await page.page.fill(field, value)
    await page.page.press("#name", "Enter")


async def say(page: Tab, text: str) -> None:
    await page.page.fill("#text", text)
    await page.page.press("#text", "Enter")


async def members(page: Tab) -> list[str]:
    lines: list[str] = await page.page.locator("#members li").all_text_contents()
    return sorted(re.sub(r"worker \d", "", line).replace(" (you)", "") for line in lines)


async def until_here(page: Tab, *names: str) -> None:
    await shown(page, "#count", f"{len(names)}")
    assert await members(page) == sorted(names)


@contextlib.asynccontextmanager
async def visitor(browser: Any, demo: Running, room: str, name: str) -> AsyncIterator[Tab]:
    async with tab(browser, f"{demo.url}chat?room={room}") as page:
        await connected(page)
        await enter(page, name=name)
        await shown(page, "#members li", f"{name} (you)worker {(await served_by(page))[0]}")
        yield page
        assert page.faults == []


async def test_rooms_workers_and_who_is_there(browser: Any) -> None:
    async with running("demo") as demo, visitor(browser, demo, "tea", "Ann") as ann:
        async with visitor(browser, demo, "tea", "Bob") as bob:
            await go_to_worker(ann, 1)
            await go_to_worker(bob, 2)
            for page in (ann, bob):
                await until_here(page, "Ann", "Bob")
            await say(ann, "one and <i>all</i>")
            await shown(bob, "#messages article:not(.mine) div", "one and <i>all</i>")
            await shown(bob, "#messages .crossing", "worker 1 → 2")
            await shown(ann, "#messages .mine .badge:not(.crossing)", "worker 1")
            async with visitor(browser, demo, "Coffee", "Cid") as cid:
                assert await cid.page.text_content("#room-title") == "coffee"
                assert await members(cid) == ["Cid"]
                await say(cid, "alone")
                await shown(cid, "#messages .mine div", "alone")
                for page in (ann, bob):
                    await shown(page, "#rooms li", "coffee1")
                    await shown(page, "#rooms li", "tea2")
                    assert not await page.page.locator("#messages", has_text="alone").count()
                # The list leads there, and a link brings others.
                await bob.page.click("#rooms a >> text=coffee")
                await until_here(cid, "Bob", "Cid")
                assert bob.page.url.endswith("/chat?room=coffee")
                await shown(ann, "#messages .notice", "Bob left")
                await bob.page.go_back()
                await until_here(ann, "Ann", "Bob")
                await shown(cid, "#messages .notice", "Bob left")
            await gone(ann, "#rooms li", "coffee")
            await bob.page.reload()
            await until_here(bob, "Ann", "Bob")  # by the name he had chosen
            await until_here(ann, "Ann", "Bob")
            assert await bob.page.locator("#messages", has_text="one and").count() == 0
        await shown(ann, "#count", "1")  # the tab is closed
        assert await members(ann) == ["Ann"]


async def test_a_worker_is_killed(browser: Any) -> None:
    async with (
        running("demo") as demo,
        visitor(browser, demo, "tea", "Ann") as ann,
        visitor(browser, demo, "tea", "Bob") as bob,
    ):
        await go_to_worker(ann, 1)
        killed = await go_to_worker(bob, 2)
        await until_here(ann, "Ann", "Bob")
        os.kill(killed, signal.SIGKILL)
        await shown(ann, "#messages .notice", "Bob left")
        await shown(bob, "#messages .notice", "you were away: what was said meanwhile is lost")
        assert (await served_by(bob))[1] != killed
        for page in (ann, bob):
            await until_here(page, "Ann", "Bob")
        await say(bob, "here again")
        await shown(ann, "#messages article div", "here again")
        # All at once: nobody is left to tell the pages.
        os.kill((await served_by(ann))[1], signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill((await served_by(bob))[1], signal.SIGKILL)
        for page in (ann, bob):
            await shown(page, "#messages .notice", "you were away: what was said meanwhile is lost")
            await connected(page)
            await until_here(page, "Ann", "Bob")
        assert await demo.interrupt() == 0
        for page in (ann, bob):
            await page.page.locator("#state").filter(has_text="Closed: 1001").wait_for()
            assert await page.page.is_disabled("#send")


async def test_the_other_pages_do_not_mind_which_worker_they_get(browser: Any) -> None:
    async with running("demo") as demo:
        async with tab(browser, f"{demo.url}lab") as lab:
            for code in (4001, 4002, 4003, 4004):  # two connections each, to whichever workers
                await lab.page.fill("#close-code", f"{code}")
                await lab.page.click("#close-run")
                seen = lab.page.locator("#close-log > div").filter(has_text="the server received")
                await seen.filter(has_text=f"{code}").wait_for()
                await lab.page.wait_for_selector("#close-run:not([aria-disabled])")
            assert lab.faults == []
        async with tab(browser, f"{demo.url}inspector") as inspector:
            frames = inspector.page.locator("#frames > li")
            for number in range(4):
                await inspector.page.locator("#state[data-open=true]").wait_for()
                await inspector.page.fill("#text", f"seen {number}")
                await inspector.page.press("#text", "Enter")
                await frames.filter(has_text=f"seen {number}").nth(1).wait_for()
                await inspector.page.click("[data-wish=push]")
                await frames.filter(has_text="Nobody has asked").first.wait_for()
                await inspector.page.click("#connect")
                # The connection of before is closed; then the state is that of the new one.
                log = inspector.page.locator("#inspector-log")
                await log.filter(has_text="the page's connection has closed").wait_for()
            assert inspector.faults == []


async def test_names_that_cannot_be(browser: Any) -> None:
    markup = "<img src=x onerror=\"console.log('harm')\">"
    async with running("demo", "--workers", "1") as demo, tab(browser, f"{demo.url}chat") as page:
        await shown(page, "#messages .notice", "user1 come in!")
        assert not await page.page.is_visible("#move")  # there is nowhere to go
        await enter(page, name=markup)
        why = "Closed: 4400 – your name has up to 24 letters, digits, spaces and - _ . '"
        await shown(page, "#state", why)
        assert await page.page.is_disabled("#send")
        await enter(page, name="Ann")
        await connected(page)
        await shown(page, "#messages .notice", "Ann come in!")
        await enter(page, room=markup)
        why = "Closed: 4400 – a room's name has 1 to 32 letters, digits, - and _"
        await shown(page, "#state", why)
        assert await page.page.input_value("#room") == markup
        await enter(page, room="")
        await connected(page)
        assert await page.page.text_content("#room-title") == "lobby"
        await page.page.evaluate("document.querySelector('#text').maxLength = 9999")
        await say(page, "x" * 2001)
        await shown(page, "#messages .notice", "at most 2000 characters, please")
        assert "harm" not in page.console
        assert (page.complaints, page.faults) == ([], [])
