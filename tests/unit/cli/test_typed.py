from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys
from duologue.cli import typed

typed.LINE_SIZE = 10

async def main():
    async for piece in typed.{kind}():
        print(piece)

asyncio.run(main())
"""


def read(kind: str, octets: bytes) -> list[bytes]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(kind=kind)],
        input=octets,
        capture_output=True,
        check=True,
    )
    return [eval(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("octets", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"one\r\n\xff\nlast", [b"one", b"\xff", b"last"]),
        (b"0123456789\nx\n", [b"0123456789", b"x"]),
    ],
)
def test_lines(octets, lines):
    assert read("lines", octets) == lines


def test_a_line_of_many_blocks_is_cut():
    assert read("lines", b"x" * 300_000 + b"\ny\n") == [b"x" * 11, b"y"]


def test_blocks():
    octets = bytes(range(256)) * 1000
    blocks = read("blocks", octets)
    assert b"".join(blocks) == octets
    assert max(len(block) for block in blocks) <= 65536
