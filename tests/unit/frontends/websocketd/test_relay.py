"""What is told of a client while nothing is read from it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys

import pytest
import trustme

from duologue import serve
from duologue.exceptions import ConnectionClosed

if sys.platform == "win32":
    pytest.skip("duologue run needs a POSIX system", allow_module_level=True)

from duologue.frontends.websocketd.relay import call_when_left

PATIENCE = 20.0
COUNT = 40


def leave(port, context):
    """Open a WebSocket, send some messages and end the stream; return when the server has, too."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
        if context is not None:
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname="127.0.0.1"))
        sock.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        while not sock.recv(4096).endswith(b"\r\n\r\n"):
            pass
        sock.sendall((b"\x81\x81" + bytes(4) + b"x") * COUNT)
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while sock.recv(4096):
                pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells before all is read")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_who_leaves_is_noticed_and_nothing_is_lost(tls):
    authority = trustme.CA()
    ours, theirs = None, None
    if tls:
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(ours)
        theirs = ssl.create_default_context()
        authority.configure_trust(theirs)
    left, done = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def handler(ws):
        taken_back = asyncio.Event()
        call_when_left(ws, taken_back.set)
        call_when_left(ws, None)
        await asyncio.sleep(0)
        call_when_left(ws, left.set)
        await left.wait()
        found = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                found.append(await ws.recv())
        done.set_result((found, taken_back.is_set()))

    async with serve(handler, "127.0.0.1", 0, max_queue=1, compression=None, ssl=ours) as server:
        port = server.sockets[0].getsockname()[1]
        client = asyncio.create_task(asyncio.to_thread(leave, port, theirs))
        async with asyncio.timeout(PATIENCE):
            assert await done == (["x"] * COUNT, False)
            await client
