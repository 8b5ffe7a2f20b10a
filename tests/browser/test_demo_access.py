"""The demo for everybody: rules of accessibility, the keyboard, and a quiet console.

The rules are axe-core's (WCAG 2.2 level A and AA, and its best practices), run inside each page,
light and dark, after it has been used.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
import os
from typing import Any

import pytest

from duologue.frontends import demo

from .chromium import Tab, tab
from .test_demo_panels import SIZES

pytestmark = pytest.mark.needs_chromium

PAGES = [path for path, name in demo.FILES.items() if name.endswith(".html")]

# What fills a page with what it can show; the pages that aren't named do that by themselves.
USED = {
    "/chat": ["#send"],
    "/lab": ["#hello-run", "#ready-state-connect", "#events-run", "#close-run", "#scheme-run"],
    "/codes": ["button[data-code='1000']", "button[data-run=cut]"],
    "/data": ["#kinds-run", "#canvas-run", "#binary-type-run"],
    "/streams": ["#ticker-run", "#calls-run"],
    "/inspector": ["#say button", "[data-wish=binary]"],
}
RESULT = "[role=log] > div, [role=log] header, td output:not(:empty)"


def axe() -> str:
    if importlib.util.find_spec("axe_playwright_python") is None:
        reason = "axe-core is not installed (axe-playwright-python)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    package = importlib.resources.files("axe_playwright_python")
    return package.joinpath("axe.min.js").read_text(encoding="utf-8")


async def violations(shown: Tab) -> list[str]:
    """Run axe-core in a page; return each rule that is broken, with the elements that break it."""
    if not await shown.page.evaluate("'axe' in window"):
        await shown.page.evaluate(axe())
    result = await shown.page.evaluate("axe.run(document)")
    assert result["passes"], "axe-core has looked at nothing"
    return [
        f"{each['id']}: {node['html'][:120]} – {node['failureSummary']}"
        for each in result["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_pages_keep_the_rules_of_accessibility(browser: Any, size: str, scheme: str) -> None:
    async with demo.serve(port=0) as server:
        home = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with tab(browser, home, color_scheme=scheme, **SIZES[size]) as shown:
            for path in PAGES:
                await shown.page.goto(home + path)
                for button in USED.get(path, []):
                    await shown.page.click(button)
                if path in USED:
                    await shown.page.locator(RESULT).first.wait_for(state="attached")
                assert await violations(shown) == [], path
            assert shown.faults == []


async def test_axe_finds_what_is_wrong(browser: Any) -> None:
    async with demo.serve(port=0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/echo"
        async with tab(browser, url) as shown:
            await shown.page.evaluate("document.querySelector('label').remove()")
            assert any(line.startswith("label: ") for line in await violations(shown))


@pytest.mark.parametrize("size", SIZES)
async def test_opening_a_page_puts_nothing_on_the_console(browser: Any, size: str) -> None:
    async with demo.serve(port=0) as server:
        home = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for path in PAGES:
            async with tab(browser, home + path, **SIZES[size]) as shown:
                await shown.page.wait_for_load_state("networkidle")
                assert (shown.complaints, shown.faults) == ([], []), path
                width = await shown.page.evaluate("document.documentElement.scrollWidth")
                assert width <= SIZES[size]["viewport"]["width"], path


@pytest.mark.parametrize("path", PAGES)
async def test_everything_is_reached_with_the_keyboard(browser: Any, path: str) -> None:
    async with demo.serve(port=0) as server:
        home = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with tab(browser, home + path) as shown:
            await shown.page.wait_for_load_state("networkidle")
            # Of radio buttons the keyboard reaches the chosen one; arrows go on from there.
            wanted = await shown.page.evaluate(
                """() => {
                    const all = "a, button, input:not([type=radio]), select, [tabindex='0']";
                    const usable = [...document.querySelectorAll(all)].filter(
                      (each) => !each.disabled && each.checkVisibility());
                    usable.forEach((each, index) => (each.dataset.stop = index));
                    return usable.length;
                }"""
            )
            reached: dict[str, bool] = {}
            for _ in range(2 * wanted + 10):
                await shown.page.keyboard.press("Tab")
                stop, outlined = await shown.page.evaluate(
                    """() => [document.activeElement.dataset.stop ?? "",
                              getComputedStyle(document.activeElement).outlineStyle !== "none"]"""
                )
                if stop:
                    reached[stop] = outlined
                if len(reached) == wanted:
                    break
            assert sorted(map(int, reached)) == list(range(wanted))
            assert all(reached.values()), "the focus can't be seen"


async def test_a_panel_is_used_with_the_keyboard_alone(browser: Any) -> None:
    async with demo.serve(port=0) as server:
        home = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with tab(browser, f"{home}/lab") as shown:
            await shown.page.focus("#close-code")
            await shown.page.keyboard.press("Tab")
            await shown.page.keyboard.type(" Bye")
            await shown.page.keyboard.press("Tab")
            await shown.page.keyboard.press("Enter")
            await shown.page.locator("#close-log > div").nth(3).wait_for()
            lines = await shown.page.locator("#close-log > div").all_text_contents()
            assert "Closing normally! Bye" in lines[2] or " Bye" in lines[2]
            # The focus stays where it was, so that pressing again is possible.
            assert await shown.page.evaluate("document.activeElement.id") == "close-run"
