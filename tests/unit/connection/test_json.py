"""Messages that are JSON."""

from __future__ import annotations

from typing import Any

import pytest

import duologue
from duologue.connection.json import JSONMessages
from duologue.wire.json import encode_json


class Ends(JSONMessages):
    """What is sent is what is received."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, message: str) -> None:
        self.messages.append(message)

    async def recv(self) -> Any:
        return self.messages.pop(0)


@pytest.mark.parametrize("value", [None, True, 1.5, "ü\n", [1, [2]], {"a": {"b": []}}])
async def test_there_and_back(value: Any) -> None:
    ends = Ends()
    await ends.send_json(value)
    assert isinstance(ends.messages[0], str)
    assert await ends.recv_json() == value


def test_no_needless_octets() -> None:
    assert encode_json({"a": [1, 2], "ü": "€"}) == '{"a":[1,2],"ü":"€"}'
    assert encode_json("\ud800") == '"\\ud800"'


@pytest.mark.parametrize(
    ("value", "error"), [(object(), TypeError), (float("nan"), ValueError), ({1, 2}, TypeError)]
)
def test_what_is_no_json_is_not_sent(value: Any, error: type[Exception]) -> None:
    ends = Ends()
    with pytest.raises(error):
        ends.send_json(value)
    assert ends.messages == []


@pytest.mark.parametrize("message", ["{", "", b"\xff", "[" * 100_000, "nonsense"])
async def test_what_is_no_json_is_an_error(message: Any) -> None:
    ends = Ends()
    ends.messages.append(message)
    with pytest.raises(ValueError, match=r".+"):
        await ends.recv_json()


async def test_both_ends_of_a_connection() -> None:
    async def handler(ws: Any) -> None:
        await ws.send_json([await ws.recv_json()])

    async with duologue.serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with duologue.connect(f"ws://127.0.0.1:{port}") as ws:
            await ws.send(b'{"a": 1}')
            assert await ws.recv_json() == [{"a": 1}]
