"""Every program in README.md and in the documentation runs as it is written.

The programs in examples/ have their own test, `tests/unit/cli/test_examples.py`.
"""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .examples import Program, Reader, blocks, free_port, programs, wait_until_listening

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
WITH_PROGRAMS = [page for page in PAGES if programs(page.read_text(encoding="utf-8"))]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", WITH_PROGRAMS, ids=name)
def test_programs_of_a_page(page: Path, tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        for program in programs(page.read_text(encoding="utf-8")):
            reader.run(program)


def test_readme_has_its_programs() -> None:
    names = {program.name for program in programs((ROOT / "README.md").read_text("utf-8"))}
    servers = {"echo_server.py", "chat_server.py", "endpoint_server.py"}
    assert names == {*servers, "echo_client.py"}


def test_the_chat_of_the_readme_reaches_everybody(tmp_path: Path) -> None:
    page = programs((ROOT / "README.md").read_text("utf-8"))
    [server] = [program for program in page if program.name == "chat_server.py"]
    visit = Program("visit.py", VISIT, "hello, both\nhello, both\n")
    with Reader(tmp_path) as reader:
        reader.run(server)
        reader.run(visit)


VISIT = """\
import asyncio

import duologue


async def main():
    url = "ws://127.0.0.1:8000/tea"
    async with duologue.connect(url) as ann, duologue.connect(url) as bob:
        await ann.send("hello, both")
        print(await ann.recv())
        print(await bob.recv())


asyncio.run(main())
"""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_say_their_language(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fences = [line for line in text.splitlines() if line.startswith("```")]
    assert len(fences) % 2 == 0
    assert [fence for fence in fences[::2] if fence == "```"] == []
    for language, code in blocks(text):
        if language == "python":
            ast.parse(code)


@pytest.mark.parametrize(
    "command",
    sorted(
        {
            line.split("#")[0].strip()
            for page in PAGES
            for language, code in blocks(page.read_text(encoding="utf-8"))
            if language == "sh"
            for line in code.splitlines()
            if line.startswith(("duologue serve echo", "duologue serve chat"))
        }
        | {"duologue serve echo", "duologue demo"}
    ),
)
def test_commands_serve_until_interrupted(command: str) -> None:
    words = command.split()
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", *words, "--port", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until_listening(port, process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert f"127.0.0.1:{port}" in output.splitlines()[0]
    assert process.returncode == 0


def test_the_examples_have_an_index() -> None:
    folder = ROOT / "examples"
    there = {f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir()}
    index = (folder / "README.md").read_text("utf-8")
    assert set(re.findall(r"\]\(([^)]+)\)", index)) == there - {"README.md", "__pycache__/"}


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    [program] = programs("```python\n# a.py\nprint(1)\n```\n\n```text\n2\n```\n")
    with Reader(tmp_path) as reader, pytest.raises(AssertionError):
        reader.run(program)


def test_a_block_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"file's name"):
        programs("```python\nprint(1)\n```\n")
