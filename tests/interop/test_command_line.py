"""``duologue connect`` talks to the servers of every other implementation."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import pytest

from .conversation import Pairing, pairings
from .node_peers import Ws, piped
from .peer import Peer, TlsFiles


@contextlib.asynccontextmanager
async def talking(
    peer: Peer, *options: str, deflate: bool = True
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs the command against a peer that listens, until it has ended."""
    async with peer.running():
        port = await peer.listen(subprotocols=["chat.v1"], deflate=deflate)
        scheme = "ws" if peer.tls is None else "wss"
        url = f"{scheme}://127.0.0.1:{port}/path?query"
        command = (sys.executable, "-m", "duologue", "connect", url, "-s", "chat.v1", *options)
        async with piped(*command) as process:
            yield process


@pairings(role="server", deflates=True)
async def test_messages_and_codes(pairing: Pairing) -> None:
    theirs = pairing.peer()
    async with talking(theirs, "--slash") as process:
        assert process.stdin is not None and process.stdout is not None
        opened = await theirs.next("open")
        assert (opened.path, opened.subprotocol) == ("/path?query", "chat.v1")
        await theirs.send("hello \x1b")
        assert await process.stdout.readline() == b"hello \x1b\n"
        process.stdin.write("對話 {}\n//slash\n".encode())
        assert await theirs.message() == "對話 {}"
        assert await theirs.message() == "/slash"
        await theirs.send(b"\x00\xff")
        assert await process.stdout.readline() == b"(binary) 00ff\n"
        process.stdin.write(b"/close 4001 done\n")
        closed = await theirs.next("closed")
        assert (closed.code, closed.reason) == (4001, "done")
        _, errors = await process.communicate()
        if pairing.peer.mirrors_close:
            assert process.returncode == 0
            assert errors == b"duologue: closed: 4001 (private use) done\n"


@pairings(role="server", mirrors_close=True)
async def test_their_code_is_told(pairing: Pairing) -> None:
    theirs = pairing.peer()
    async with talking(theirs) as process:
        await theirs.next("open")
        await theirs.close(4321, "enough")
        _, errors = await process.communicate()
        assert process.returncode == 3
        assert errors == b"duologue: closed: 4321 (private use) enough\n"


@pairings(role="server", pings=True, ends_tcp=True)
async def test_pings_are_shown_and_answered(pairing: Pairing) -> None:
    theirs = pairing.peer()
    async with talking(theirs, "-P", "-v", "--no-compression", deflate=False) as process:
        assert process.stdin is not None and process.stderr is not None
        await theirs.next("open")
        await theirs.ping(b"knock")
        await theirs.next("pong")
        process.stdin.close()
        lines = (await process.stderr.read()).decode().splitlines()
        assert any(line.startswith("< ping [fin, 5 bytes]") for line in lines)
        assert any(line.startswith("> pong [fin, 5 bytes]") for line in lines)


@pytest.mark.needs_node
@pytest.mark.parametrize("trusting", [True, False])
async def test_tls(tls_files: TlsFiles, trusting: bool) -> None:
    theirs = Ws()
    theirs.tls = tls_files
    options = ["--ca", str(tls_files.authority)] if trusting else []
    async with talking(theirs, *options, "-1", "-x", "hello") as process:
        if not trusting:
            _, errors = await process.communicate()
            assert process.returncode == 1
            assert b"the server's certificate can't be trusted" in errors
            return
        await theirs.next("open")
        assert await theirs.message() == "hello"
        await theirs.send("good bye")
        output, _ = await process.communicate()
        assert (process.returncode, output) == (0, b"good bye\n")


@pytest.mark.needs_node
async def test_a_megabyte_of_octets_through_ws() -> None:
    theirs = Ws()
    octets = bytes(range(256)) * 4096
    async with talking(theirs, "-b", "-w0") as process:
        assert process.stdin is not None
        await theirs.next("open")
        process.stdin.write(octets)
        process.stdin.close()
        received = b""
        while len(received) < len(octets):
            received += await theirs.message()
        assert received == octets
        await process.wait()
        assert process.returncode == 0
