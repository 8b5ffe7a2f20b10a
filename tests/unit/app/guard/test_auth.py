from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any

import pytest

from duologue.app.application import App
from duologue.app.guard import (
    BasicAuth,
    BearerAuth,
    Denied,
    TicketAuth,
    Tickets,
    first_message,
)
from duologue.exceptions import ConnectionClosed

from .serving import ending_of, handshake, reach, serving

TICKETS = Tickets("a secret of the site")


def app_with(auth: Any, **options: Any) -> App:
    app = App()

    @app.websocket("/{rest:path}", auth=auth, **options)
    async def handler(ws: Any) -> None:
        await ws.send(repr(ws.user_data))
        await ws.wait_closed()

    return app


async def user(address: str, path: str = "/", **options: Any) -> str:
    async with reach(address, path, **options) as ws:
        return str(await ws.recv())


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


async def check_coroutine(name: str, password: str) -> bool:
    await asyncio.sleep(0)
    return (name, password) == ("ada", "s3cret")


@pytest.mark.parametrize(
    "auth",
    [
        BasicAuth(("ada", "s3cret"), realm="chat"),
        BasicAuth([("ada", "s3cret"), ("bob", "other")], realm="chat"),
        BasicAuth(check=lambda name, password: (name, password) == ("ada", "s3cret"), realm="chat"),
        BasicAuth(check=check_coroutine, realm="chat"),
    ],
)
async def test_basic(auth: BasicAuth) -> None:
    async with serving(app_with(auth)) as address:
        assert await user(address, additional_headers=basic("ada", "s3cret")) == "'ada'"
        for lines in (
            [],
            ["Authorization: Bearer s3cret"],
            ["Authorization: Basic !"],
            [f"Authorization: {basic('ada', 'wrong')['Authorization']}"],
            [f"Authorization: {basic('eve', 's3cret')['Authorization']}"],
            [f"Authorization: {basic('ada', 's3cret')['Authorization']}"] * 2,
        ):
            status, answer = await handshake(address, "/", *lines)
            assert status == 401
            assert '\r\nWWW-Authenticate: Basic realm="chat"' in answer
            assert "s3cret" not in answer


def test_basic_needs_one_of_two() -> None:
    for options in ({}, {"credentials": ("a", "b"), "check": lambda name, password: True}):
        with pytest.raises(ValueError, match="either credentials or check"):
            BasicAuth(**options)
    with pytest.raises(TypeError):
        BasicAuth([("a", "b", "c")])  # type: ignore[list-item]


async def test_bearer() -> None:
    async def verify(token: str) -> Any:
        await asyncio.sleep(0)
        return {"name": "ada"} if token == "t0ken" else None

    async with serving(app_with(BearerAuth(verify, realm="chat"))) as address:
        headers = {"Authorization": "bearer t0ken"}
        assert await user(address, additional_headers=headers) == "{'name': 'ada'}"
        status, answer = await handshake(address, "/", "Authorization: Bearer other")
        assert status == 401
        assert '\r\nWWW-Authenticate: Bearer realm="chat", error="invalid_token"\r\n' in answer
        for lines in ([], ["Authorization: Bearer "], ["Authorization: Basic dDprZW4="]):
            status, answer = await handshake(address, "/", *lines)
            assert status == 401
            assert '\r\nWWW-Authenticate: Bearer realm="chat"\r\n' in answer


async def test_bearer_without_realm_by_a_plain_function() -> None:
    async with serving(app_with(BearerAuth(lambda token: token == "yes"))) as address:
        assert await user(address, additional_headers={"Authorization": "Bearer yes"}) == "True"
        status, answer = await handshake(address, "/", "Authorization: Bearer no")
        assert status == 401
        assert '\r\nWWW-Authenticate: Bearer error="invalid_token"\r\n' in answer


async def test_a_verifier_that_fails_lets_nobody_in() -> None:
    def verify(token: str) -> Any:
        raise LookupError("no database")

    async with serving(app_with(BearerAuth(verify))) as address:
        assert (await handshake(address, "/", "Authorization: Bearer yes"))[0] == 500


async def test_tickets_in_the_query() -> None:
    async with serving(app_with(TicketAuth(TICKETS))) as address:
        assert await user(address, f"/?a=b&ticket={TICKETS.issue('ada')}") == "'ada'"
        for query in ("", "?ticket=", "?ticket=a.b", f"?other={TICKETS.issue('ada')}"):
            assert (await handshake(address, f"/{query}"))[0] == 401


async def test_tickets_in_a_subprotocol() -> None:
    auth = TicketAuth(TICKETS, parameter=None)
    async with serving(app_with(auth, subprotocols=None)) as address:
        ticket = f"ticket.{TICKETS.issue('ada')}"
        # Browsers don't open unless one of those they offer is chosen.
        async with reach(address, subprotocols=[ticket]) as ws:
            assert ws.subprotocol == ticket
            assert await ws.recv() == "'ada'"
        async with reach(address, subprotocols=["chat.v1", ticket]) as ws:
            assert ws.subprotocol is None
            assert await ws.recv() == "'ada'"
        assert (await handshake(address, f"/?ticket={TICKETS.issue('ada')}"))[0] == 401
        assert (await handshake(address, "/", "Sec-WebSocket-Protocol: ticket.x"))[0] == 401


async def test_a_ticket_is_no_subprotocol() -> None:
    app = app_with(TicketAuth(TICKETS, prefix="who."), subprotocols=["chat.v1"])
    async with serving(app) as address:
        ticket = f"who.{TICKETS.issue('ada')}"
        async with reach(address, subprotocols=[ticket, "chat.v1"]) as ws:
            assert ws.subprotocol == "chat.v1"
            assert await ws.recv() == "'ada'"


async def test_tickets_and_on_request() -> None:
    async def on_request(request: Any) -> None:
        assert request.user == "ada"
        assert request.subprotocols == ["chat.v1"]
        await request.accept(request.subprotocols[0])

    app = app_with(TicketAuth(TICKETS), on_request=on_request)
    async with serving(app) as address:
        ticket = f"ticket.{TICKETS.issue('ada')}"
        assert await user(address, subprotocols=["chat.v1", ticket]) == "'ada'"


async def test_a_script_sees_why() -> None:
    async with serving(app_with(TicketAuth(TICKETS, close_code=4401))) as address:
        async with reach(address) as ws:
            assert await ending_of(ws) == (4401, "Missing ticket")
        async with reach(address, "/?ticket=a.b") as ws:
            assert await ending_of(ws) == (4401, "Invalid ticket")


def test_tickets_come_from_somewhere() -> None:
    with pytest.raises(ValueError, match=r"query .* or in a subprotocol"):
        TicketAuth(TICKETS, parameter=None, prefix=None)


@pytest.mark.parametrize("outcome", [None, False])
async def test_nobody(outcome: Any) -> None:
    async with serving(app_with(lambda request: outcome)) as address:
        assert (await handshake(address))[0] == 401


async def test_an_authenticator_of_ones_own() -> None:
    async def auth(request: Any) -> str:
        session = request.cookies.get("session")
        if session != "5e55":
            raise Denied("Log in first", {"X-Login": "/login"})
        return f"user of {session}"

    async with serving(app_with(auth)) as address:
        headers = {"Cookie": "session=5e55"}
        assert await user(address, additional_headers=headers) == "'user of 5e55'"
        status, answer = await handshake(address)
        assert status == 401
        assert "\r\nX-Login: /login\r\n" in answer
        assert answer.endswith("Log in first\n")


# -- the first message


def app_that_asks(**options: Any) -> tuple[App, list[Any]]:
    app, known = App(), []

    @app.websocket("/")
    async def handler(ws: Any) -> None:
        name = await first_message(ws, TICKETS.verify, **options)
        known.append(name)
        await ws.send(f"hello, {name}")
        async for message in ws:
            await ws.send(message)

    return app, known


async def test_first_message() -> None:
    app, known = app_that_asks()
    async with serving(app) as address, reach(address) as ws:
        await ws.send(TICKETS.issue("ada"))
        await ws.send("said before the answer")
        assert await ws.recv() == "hello, ada"
        assert await ws.recv() == "said before the answer"
    assert known == ["ada"]


async def test_a_wrong_first_message(caplog: pytest.LogCaptureFixture) -> None:
    app, known = app_that_asks(close_code=4444)
    async with serving(app) as address, reach(address) as ws:
        await ws.send("a.b")
        assert await ending_of(ws) == (4444, "unauthenticated")
    assert known == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_no_first_message() -> None:
    app, known = app_that_asks(timeout=0.05)
    async with serving(app) as address, reach(address) as ws:
        assert await ending_of(ws) == (4408, "nobody said who it is in time")
    assert known == []


async def test_a_verifier_that_takes_too_long() -> None:
    app, known = App(), []

    async def verify(message: Any) -> str:
        await asyncio.Event().wait()
        return "ada"

    @app.websocket("/")
    async def handler(ws: Any) -> None:
        known.append(await first_message(ws, verify, timeout=0.05))

    async with serving(app) as address, reach(address) as ws:
        await ws.send("me")
        assert (await ending_of(ws))[0] == 4408
    assert known == []


async def test_who_goes_before_the_first_message() -> None:
    app, outcome = App(), asyncio.get_running_loop().create_future()

    @app.websocket("/")
    async def handler(ws: Any) -> None:
        try:
            await first_message(ws, TICKETS.verify)
        except ConnectionClosed as exc:
            outcome.set_result(exc)
            raise

    async with serving(app) as address:
        async with reach(address):
            pass
        async with asyncio.timeout(30):
            await outcome
