"""Handlers that are ``async def``."""

from __future__ import annotations

from pathlib import Path

import pytest

from .support import CLOSE, Serve, frame, read_all, read_exactly, read_head, request

HEAD = """
    import asyncio
    from pywebsocket3 import handshake, msgutil

    async def web_socket_do_extra_handshake(request):
        await asyncio.sleep(0)
        if request.ws_resource.endswith("no"):
            raise ValueError("no")

    async def web_socket_transfer_data(request):
        stream = request.ws_stream
"""

END = b"\x88\x02\x03\xe8"


@pytest.mark.parametrize(
    ("body", "sent", "expected"),
    [
        ("await stream.send_message(await stream.receive_message())", b"x", b"\x81\x01x" + END),
        ("await msgutil.send_message(request, 'x')", b"", b"\x81\x01x" + END),
        (
            "await stream.send_ping('x'); await stream.close_connection(4000)",
            b"",
            b"\x89\x01x\x88\x02\x0f\xa0",
        ),
        ("raise msgutil.BadOperationException()", b"", b"\x88\x02\x03\xf3"),
        ("raise handshake.AbortedByUserException()", b"", b""),
        (
            "await stream.send_message(repr(stream.get_last_received_opcode()))",
            b"",
            b"\x81\x04None" + END,
        ),
    ],
)
def test_what_they_do(serve: Serve, body: str, sent: bytes, expected: bytes) -> None:
    with serve(h=HEAD + " " * 8 + body) as running:
        assert running.talk(frame(1, sent) if sent else b"", CLOSE) == expected


def test_a_cancelled_receive_loses_nothing(serve: Serve) -> None:
    body = """
        try:
            await asyncio.wait_for(stream.receive_message(), 0.05)
        except TimeoutError:
            await stream.send_message("late")
        await stream.send_message(await stream.receive_message())
    """
    with serve(h=HEAD + body) as running, running.open(request()) as sock:
        read_head(sock)
        assert read_exactly(sock, 6) == b"\x81\x04late"
        sock.sendall(frame(1, b"x") + CLOSE)
        assert read_all(sock) == b"\x81\x01x" + END


@pytest.mark.parametrize(("last", "expected"), [("pass", END), ("raise ValueError('x')", b"")])
def test_a_receive_that_nobody_waits_for_ends(serve: Serve, last: str, expected: bytes) -> None:
    body = f"""
        task = asyncio.create_task(stream.receive_message())
        await asyncio.sleep(0.05)
        {last}
    """
    with serve(h=HEAD + body) as running, running.open(request()) as sock:
        read_head(sock)
        if expected:
            assert read_exactly(sock, 4) == expected
            sock.sendall(CLOSE)
        assert read_all(sock) == b""


def test_a_refusal(serve: Serve) -> None:
    with serve(h=HEAD + " " * 8 + "pass") as running:
        assert running.converse(request("/h?no")).startswith(b"HTTP/1.0 403 ")


def test_the_example(serve: Serve) -> None:
    source = (Path(__file__).parents[4] / "examples" / "pywebsocket" / "ticker_wsh.py").read_text()
    with serve(h=source) as running, running.open(request()) as sock:
        read_head(sock)
        assert read_exactly(sock, 6) == b"\x81\x011\x81\x012"
        sock.sendall(frame(1, b"0.01") + frame(8, b"\x03\xe8"))
        assert read_all(sock).endswith(END)


def test_the_answer_to_close(serve: Serve) -> None:
    body = """
        await stream.receive_message()

    async def web_socket_passive_closing_handshake(request):
        await asyncio.sleep(0)
        return request.ws_close_code + 1, "one more"
    """
    with serve(h=HEAD + body) as running:
        assert running.talk(frame(8, b"\x0f\xa0")) == b"\x88\x0a\x0f\xa1one more"
