"""``duologue serve DIR``: the options of ``duologue serve`` that are for folders of handlers."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

EXAMPLES = Path(__file__).parents[3] / "examples" / "pywebsocket"


def test_serves_handlers_until_a_signal_comes(start: Any) -> None:
    server = start("serve", str(EXAMPLES), "--port", "0", "--max-size", "10", "--no-compression")
    assert server.url == f"ws://127.0.0.1:{server.port}/"
    with connect(server.url + "echo", proxy=None) as one, connect(server.url + "echo") as other:
        one.send("hi")
        assert one.recv(timeout=30) == "hi"
        assert one.protocol.extensions == []
        one.send("x" * 11)
        with pytest.raises(ConnectionClosed):
            one.recv(timeout=30)
        assert one.close_code == 1009
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            other.recv(timeout=30)
        assert other.close_code == 1001
    assert server.process.wait(30) == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--uds", "/nowhere"), "--uds and --fd are not for a folder"),
        (("--greeting", "x"), "--greeting is for the echo only"),
    ],
)
def test_what_is_not_for_a_folder(run: Any, words: tuple[str, ...], complaint: str) -> None:
    result = run("serve", str(EXAMPLES), *words)
    assert result.returncode == 2
    assert complaint.encode() in result.stderr
