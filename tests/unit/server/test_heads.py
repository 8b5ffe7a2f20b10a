"""What a server's connection keeps of its opening handshake, and what users may put on it."""

from __future__ import annotations

import weakref
from typing import Any

from duologue.asyncio.client import connect
from duologue.asyncio.server import Server, ServerConnection, serve


def address(server: Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"ws://{host}:{port}/path?query"


async def visit(handler: Any, **options: Any) -> Any:
    """Return the response that a client saw of a server whose handler ran once."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        headers = {"X-Name": "value é".encode().decode("latin-1")}
        async with connect(address(server), additional_headers=headers) as ws:
            await ws.wait_closed()
            return ws.response


async def test_heads_are_read_again_when_asked_for() -> None:
    seen: dict[str, Any] = {}

    async def handler(ws: ServerConnection) -> None:
        request = ws.request
        assert ws.request is request, "while somebody holds it it is the same"
        assert request.path == "/path?query"
        assert request.headers["X-Name"] == "value é".encode().decode("latin-1")
        assert (request.method, request.protocol) == ("GET", "HTTP/1.1")
        seen["gone"] = weakref.ref(request)
        seen["text"] = repr(request)
        del request
        assert seen["gone"]() is None, "nobody else holds it"
        assert repr(ws.request) == seen["text"]
        seen["response"] = ws.response
        assert ws.response is seen["response"]

    assert await visit(handler) == seen["response"]


async def test_what_hooks_have_seen_is_kept() -> None:
    heads: list[Any] = []

    def process_request(ws: ServerConnection, request: Any) -> None:
        request.note = "kept"
        heads.append(request)

    async def handler(ws: ServerConnection) -> None:
        heads.append(ws.request)

    await visit(handler, process_request=process_request)
    assert heads[0] is heads[1]
    assert heads[1].note == "kept"


async def test_attributes_of_the_users_own() -> None:
    seen: list[Any] = []

    class Named(ServerConnection):
        kind = "named"

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.name = "set early"

    async def handler(ws: Any) -> None:
        ws.user = "set late"
        seen.append((ws.name, ws.kind, ws.user, ws.server.is_serving(), dict(vars(ws))))

    await visit(handler, create_connection=Named)
    own = {"name": "set early", "user": "set late"}
    assert seen == [("set early", "named", "set late", True, own)]


async def test_a_connection_has_no_dictionary_of_its_own_until_it_is_used() -> None:
    sizes: list[int] = []

    async def handler(ws: Any) -> None:
        sizes.append(type(ws).__basicsize__)
        assert vars(ws) == {}

    await visit(handler)
    # Tripping over this? An idle connection's memory is most of what a server needs: see
    # bench/README.md, scenario g.
    assert sizes[0] <= 768


async def test_each_connection_has_its_own_heads() -> None:
    """Although most of their responses is kept once, and others had the same memory before."""
    held: list[Any] = []
    seen: list[Any] = []

    async def handler(ws: ServerConnection) -> None:
        held.extend((ws.request, ws.response))
        seen.append((ws.request.headers["Sec-WebSocket-Key"], ws.response))

    async with serve(handler, "127.0.0.1", 0) as server:
        for _ in range(5):
            async with connect(address(server)) as ws:
                await ws.wait_closed()
            assert seen.pop() == (ws.request.headers["Sec-WebSocket-Key"], ws.response)
    assert len({id(head) for head in held}) == 10
