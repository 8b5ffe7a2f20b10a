"""An application's routes, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import duologue
from duologue.app.application import App
from duologue.app.request import Request
from duologue.wire.response import Response

from .conftest import head


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


async def say(ws: Any, text: str) -> None:
    await ws.send(text)


async def refused(connecting: Any) -> tuple[int, bytes]:
    with pytest.raises(duologue.InvalidStatus) as info:
        await connecting
    return info.value.response.status_code, bytes(info.value.response.body)


# WebSocket


async def test_parameters_reach_the_handler(visiting: Any) -> None:
    app = App()

    @app.websocket("/room/{name}/{n:int}")
    async def room(ws: Any, n: int) -> None:
        await ws.send_json([ws.path_params, n, ws.request.path])

    async with visiting(app) as site, site.connect("/room/a%20b/7?x=1") as ws:
        assert await ws.recv_json() == [{"name": "a b", "n": 7}, 7, "/room/a%20b/7?x=1"]
        with pytest.raises(duologue.ConnectionClosedOK):
            await ws.recv()


async def test_endpoints_and_classes_of_them(visiting: Any) -> None:
    app = App()
    seen: list[Any] = []

    class Room(duologue.Endpoint):
        def on_open(self, ws: Any) -> None:
            seen.append(dict(ws.path_params))

        def on_message(self, ws: Any, message: Any) -> None:
            ws.send(message)

        def on_close(self, ws: Any, code: int, reason: str) -> None:
            seen.append(code)

    app.websocket("/made/{name}")(Room())
    assert app.websocket("/class")(Room) is Room
    async with visiting(app) as site:
        for path in ("/made/x", "/class"):
            async with site.connect(path) as ws:
                await ws.send("hi")
                assert await ws.recv() == "hi"
    assert seen == [{"name": "x"}, 1000, {}, 1000]


async def test_a_handler_that_raises_closes_with_1011(
    visiting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.websocket("/")
    async def broken(ws: Any) -> None:
        raise RuntimeError("broken")

    async with visiting(app) as site, site.connect() as ws:
        with pytest.raises(duologue.ConnectionClosedError):
            await ws.recv()
        assert ws.close_code == 1011
    assert "broken" in caplog.text


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        (["v1"], ("one", "v1")),
        (["v2"], ("two", "v2")),
        (["v3", "v2", "v1"], ("two", "v3")),
        (["V1"], ("one", "V1")),
        (["other", "v2"], ("two", "v2")),
        (["other"], ("rest", None)),
        (None, ("none", None)),
    ],
)
async def test_subprotocols_choose_the_handler(
    visiting: Any, offered: Any, answer: tuple[str, str | None]
) -> None:
    app = App()

    def declare(name: str, subprotocols: Any) -> None:
        @app.websocket("/", subprotocols=subprotocols)
        async def talk(ws: Any) -> None:
            await say(ws, name)

    declare("none", [])
    declare("one", ["v1"])
    declare("two", ["v2", "v3"])
    declare("rest", None)
    async with visiting(app) as site, site.connect(subprotocols=offered) as ws:
        assert (await ws.recv(), ws.subprotocol) == answer


async def test_any_subprotocol(visiting: Any) -> None:
    app = App()
    app.websocket("/", subprotocols="*")(echo)
    async with visiting(app) as site:
        async with site.connect(subprotocols=["x", "y"]) as ws:
            assert ws.subprotocol == "x"
        async with site.connect() as ws:
            assert ws.subprotocol is None


async def test_no_handler_speaks_it(visiting: Any) -> None:
    app = App()
    app.websocket("/chat", subprotocols=["v1"])(echo)
    async with visiting(app) as site:
        for offered in (["v2"], None):
            status, body = await refused(site.connect("/chat", subprotocols=offered))
            assert (status, body) == (404, b"No handler is available for the given request.\n")


async def test_less_special_paths_take_other_subprotocols(visiting: Any) -> None:
    app = App()
    app.websocket("/chat", subprotocols=["v1"])(echo)

    @app.websocket("/{path}", subprotocols=["v2", "v1"])
    async def other(ws: Any, path: str) -> None:
        await say(ws, path)

    async with visiting(app) as site:
        async with site.connect("/chat", subprotocols=["v2"]) as ws:
            assert await ws.recv() == "chat"
        async with site.connect("/chat", subprotocols=["v2", "v1"]) as ws:
            assert ws.subprotocol == "v1"


async def test_a_handshake_without_route_goes_to_http(visiting: Any) -> None:
    """As in µWebSockets."""
    app = App()

    @app.get("/page")
    async def page(request: Request) -> Response:
        return Response(f"{request.asks_upgrade}", 409)

    async with visiting(app) as site:
        assert await refused(site.connect("/page")) == (409, b"True")
        assert await refused(site.connect("/nothing")) == (404, b"Not Found\n")


async def test_bounds_of_routes(visiting: Any) -> None:
    app = App(max_size=100)
    app.websocket("/small", max_size=10)(echo)
    app.websocket("/large")(echo)
    app.websocket("/own", limits=duologue.Limits(max_size=1000))(echo)
    async with visiting(app) as site:
        for path, most in (("/small", 10), ("/large", 100), ("/own", 1000)):
            async with site.connect(path) as ws:
                await ws.send("x" * most)
                assert await ws.recv() == "x" * most
                await ws.send("x" * (most + 1))
                with pytest.raises(duologue.ConnectionClosedError):
                    await ws.recv()
                assert ws.close_code == 1009


async def test_compression_of_routes(visiting: Any) -> None:
    app = App(compression=None)
    app.websocket("/plain")(echo)
    app.websocket("/deflate", compression="deflate")(echo)
    async with visiting(app) as site:
        for path, extensions in (("/plain", 0), ("/deflate", 1)):
            async with site.connect(path) as ws:
                assert ("Sec-WebSocket-Extensions" in ws.response.headers) == bool(extensions)


async def test_rules_of_application_and_route(
    visiting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = App(origins=["https://app.test"])
    app.websocket("/")(echo)
    app.websocket("/open", origins="*")(echo)
    app.websocket("/one", max_connections=1)(echo)
    async with visiting(app) as site:
        async with site.connect(origin="https://app.test"), site.connect("/open", origin="null"):
            pass
        status, body = await refused(site.connect(origin="https://evil.test"))
        assert status == 403
        assert b"origins" not in body
        assert "origins" in caplog.text
        async with site.connect("/one"):
            assert (await refused(site.connect("/one")))[0] == 503
        # The place is free as soon as the server knows that the connection is gone.
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(duologue.InvalidStatus):
                    async with site.connect("/one"):
                        break


async def test_places_of_endpoints_are_given_back(visiting: Any) -> None:
    app = App(max_connections=1)
    app.websocket("/")(duologue.Endpoint())
    app.websocket("/bad", subprotocols="*", on_request=_reject)(echo)
    async with visiting(app) as site:
        for _ in range(3):
            assert (await refused(site.connect("/bad")))[0] == 403
        async with site.connect():
            assert (await refused(site.connect()))[0] == 503
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(duologue.InvalidStatus):
                    async with site.connect():
                        break


async def _reject(request: Any) -> None:
    await request.reject(403)


async def test_accepting_with_what_the_application_chooses(visiting: Any) -> None:
    app = App()

    async def on_request(request: Any) -> None:
        user = request.path_params["user"]
        await request.accept("v2", headers={"X-User": user}, user_data={"name": user})

    @app.websocket("/{user}", subprotocols=["v1", "v2"], on_request=on_request)
    async def talk(ws: Any) -> None:
        await ws.send_json([ws.user_data, ws.subprotocol])

    async with visiting(app) as site, site.connect("/ann", subprotocols=["v1", "v2"]) as ws:
        assert await ws.recv_json() == [{"name": "ann"}, "v2"]
        assert ws.response.headers["X-User"] == "ann"


async def test_authentication(visiting: Any) -> None:
    app = App()
    known = {"key": "ann"}
    auth = duologue.BearerAuth(known.get)

    @app.websocket("/", auth=auth)
    async def talk(ws: Any) -> None:
        await ws.send(ws.user_data)

    async with visiting(app) as site:
        async with site.connect(additional_headers={"Authorization": "Bearer key"}) as ws:
            assert await ws.recv() == "ann"
        assert (await refused(site.connect()))[0] == 401


# HTTP


async def test_what_handlers_return(visiting: Any) -> None:
    app = App()
    results: dict[str, Any] = {
        "text": "grüße",
        "octets": b"\x00\x01",
        "dict": {"a": 1},
        "list": [1, 2],
        "response": Response("gone", 410),
        "json": Response.json(None),
    }
    for name, value in results.items():
        app.get(f"/{name}")(lambda request, value=value: value)

    async with visiting(app) as site:
        answers = {name: await site.ask("GET", f"/{name}") for name in results}
    assert {name: (each.status_code, each.body) for name, each in answers.items()} == {
        "text": (200, "grüße".encode()),
        "octets": (200, b"\x00\x01"),
        "dict": (200, b'{"a":1}'),
        "list": (200, b"[1,2]"),
        "response": (410, b"gone"),
        "json": (200, b"null"),
    }
    assert answers["dict"].headers["Content-Type"] == "application/json"


async def test_a_handler_that_returns_nothing_is_an_error(
    visiting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.get("/none")
    async def none(request: Request) -> None:
        pass

    @app.get("/raises")
    async def raises(request: Request) -> Response:
        raise RuntimeError("secret")

    async with visiting(app) as site:
        for path in ("/none", "/raises"):
            answer = await site.ask("GET", path)
            assert answer.status_code == 500
            assert b"secret" not in answer.body
    assert "not NoneType" in caplog.text
    assert "secret" in caplog.text


async def test_errors_that_are_answers(visiting: Any) -> None:
    app = App()

    @app.get("/{what}")
    async def get(request: Request, what: str) -> Response:
        raise duologue.HTTPError(418, "no coffee", {"X-Pot": what})

    async with visiting(app) as site:
        answer = await site.ask("GET", "/tea")
    assert (answer.status_code, answer.body) == (418, b"no coffee\n")
    assert answer.headers["X-Pot"] == "tea"


async def test_methods(visiting: Any) -> None:
    app = App()

    def name(request: Request) -> str:
        return f"{request.method} {request.path}"

    app.get("/a")(name)
    app.post("/a")(name)
    app.put("/b")(name)
    app.delete("/b")(name)
    app.patch("/b")(name)
    app.route("/c", methods=["PURGE", "get"])(name)
    app.route("/any")(name)
    app.route("/{x}")(lambda request: "any")
    async with visiting(app) as site:

        async def ask(method: str, path: str) -> tuple[int, bytes, str | None]:
            answer = await site.ask(method, path)
            return answer.status_code, bytes(answer.body), answer.headers.get("Allow")

        assert await ask("GET", "/a") == (200, b"GET /a", None)
        assert await ask("POST", "/a") == (200, b"POST /a", None)
        assert await ask("HEAD", "/a") == (200, b"", None)
        assert await ask("DELETE", "/b") == (200, b"DELETE /b", None)
        assert await ask("PATCH", "/b") == (200, b"PATCH /b", None)
        assert await ask("PURGE", "/c") == (200, b"PURGE /c", None)
        # A method's own route of any path goes before those for all methods.
        assert await ask("DELETE", "/any") == (200, b"DELETE /any", None)
        assert await ask("DELETE", "/a") == (200, b"any", None)


async def test_head_has_the_length_and_no_body(visiting: Any) -> None:
    app = App()
    app.get("/")(lambda request: "hello")
    async with visiting(app) as site, site.link() as link:
        link.write(head("HEAD", "/") + head("GET", "/"))
        first = await link.answer("HEAD")
        assert (first.headers["Content-Length"], first.body) == ("5", b"")
        assert (await link.answer()).body == b"hello"


async def test_head_of_its_own(visiting: Any) -> None:
    app = App()
    app.get("/")(lambda request: Response("", 200))
    app.head("/")(lambda request: Response("", 202))
    async with visiting(app) as site:
        assert (await site.ask("HEAD", "/")).status_code == 202
        assert (await site.ask("GET", "/")).status_code == 200


async def test_nothing_there_and_not_allowed(visiting: Any) -> None:
    app = App()
    app.get("/a/{x}")(lambda request: "")
    app.post("/a/b")(lambda request: "")
    app.websocket("/ws")(echo)
    async with visiting(app) as site:

        async def ask(method: str, path: str) -> tuple[int, str | None]:
            answer = await site.ask(method, path)
            return answer.status_code, answer.headers.get("Allow")

        assert await ask("GET", "/nothing") == (404, None)
        assert await ask("OPTIONS", "/nothing") == (404, None)
        assert await ask("DELETE", "/a/b") == (405, "GET, HEAD, OPTIONS, POST")
        assert await ask("OPTIONS", "/a/b") == (204, "GET, HEAD, OPTIONS, POST")
        assert await ask("OPTIONS", "/a/c") == (204, "GET, HEAD, OPTIONS")
        assert await ask("OPTIONS", "*") == (204, "OPTIONS")
        assert await ask("GET", "/ws") == (426, None)
        assert await ask("POST", "/ws") == (405, "GET, HEAD, OPTIONS")
        assert await ask("GET", "/%ff") == (404, None)


async def test_bodies(visiting: Any) -> None:
    app = App()

    @app.post("/{how}")
    async def post(request: Request, how: str) -> Any:
        value = await getattr(request, how)()
        again = await getattr(request, how)()
        assert value == again or how == "form"
        return Response.json(repr(value) if how in ("body", "form") else value)

    async with visiting(app) as site:

        async def ask(how: str, body: bytes, *fields: str) -> tuple[int, Any]:
            answer = await site.ask("POST", f"/{how}", *fields, body=body)
            is_json = answer.headers["Content-Type"] == "application/json"
            return answer.status_code, json.loads(answer.body) if is_json else answer.body

        form = "Content-Type: application/x-www-form-urlencoded"
        latin = "Content-Type: text/plain; charset=iso-8859-1"
        assert await ask("body", b"\x00\x01") == (200, "b'\\x00\\x01'")
        assert await ask("text", "ü".encode()) == (200, "ü")
        assert await ask("text", b"\xfc", latin) == (200, "ü")
        assert await ask("text", b"\xfc") == (400, b"the body is not utf-8: invalid start byte\n")
        assert (await ask("text", b"x", "Content-Type: a/b; charset=klingon"))[0] == 415
        assert await ask("json", b'{"a": [1]}') == (200, {"a": [1]})
        assert (await ask("json", b'{"a": [1'))[0] == 400
        assert (await ask("json", b"[" * 100_000))[0] == 400
        assert (await ask("json", b"\xff"))[0] == 400
        wanted = "Fields([('a', '1'), ('b', ''), ('a', '2 3')])"
        assert await ask("form", b"a=1&b=&a=2+3", form) == (200, wanted)
        assert (await ask("form", b"a=1"))[0] == 415
        assert (await ask("form", b"a=1&" * 1001, form))[0] == 400


async def test_bodies_are_bounded(visiting: Any) -> None:
    app = App(max_body=10)
    app.post("/")(_size)
    app.post("/large", max_body=20)(_size)
    async with visiting(app) as site:
        assert (await site.ask("POST", "/", body=b"x" * 10)).body == b"10"
        assert (await site.ask("POST", "/", body=b"x" * 11)).status_code == 413
        assert (await site.ask("POST", "/large", body=b"x" * 20)).body == b"20"
        assert (await site.ask("POST", "/large", body=b"x" * 21)).status_code == 413


async def _size(request: Request) -> str:
    return str(len(await request.body()))


async def test_pipelined_requests_are_answered_in_order(visiting: Any) -> None:
    app = App()
    go_on = asyncio.Event()

    @app.get("/{n:int}")
    async def get(request: Request, n: int) -> str:
        if n == 0:
            await go_on.wait()
        return str(n)

    async with visiting(app) as site, site.link() as link:
        link.write(b"".join(head("GET", f"/{n}") for n in range(20)))
        go_on.set()
        assert [(await link.answer()).body for _ in range(20)] == [b"%d" % n for n in range(20)]


async def test_a_websocket_after_plain_requests(visiting: Any) -> None:
    app = App()
    app.get("/")(lambda request: "hello")
    app.websocket("/")(echo)
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    fields = ("Upgrade: websocket", "Connection: Upgrade", key, "Sec-WebSocket-Version: 13")
    async with visiting(app) as site, site.link() as link:
        link.write(head("GET", "/"))
        assert (await link.answer()).body == b"hello"
        link.write(head("GET", "/", *fields))
        assert (await link.answer()).status_code == 101
        link.write(b"\x81\x82\0\0\0\0hi")
        assert await link.reader.readexactly(4) == b"\x81\x02hi"
        link.write(b"\x88\x82\0\0\0\0\x03\xe8")
        assert await link.reader.readexactly(4) == b"\x88\x02\x03\xe8"


async def test_facts_of_a_request(visiting: Any) -> None:
    app = App()

    @app.get("/facts/{x}")
    async def facts(request: Request) -> dict[str, Any]:
        request.state.seen = True
        assert request.client is not None
        return {
            "path": request.path, "raw": request.raw_path, "target": request.target,
            "query": request.query_params.items_all(), "last": request.query_params["a"],
            "all": request.query_params.get_all("a"), "cookies": dict(request.cookies),
            "url": request.url, "client": request.client[0], "version": request.http_version,
            "params": request.path_params, "app": request.app is app,
            "header": request.headers["X-A"], "host": request.host, "scheme": request.scheme,
        }  # fmt: skip

    async with visiting(app) as site:
        answer = await site.ask(
            "GET", "/facts/%C3%BC?a=1&b=%26&a=2", "X-A: 1", 'Cookie: a=1; b="x y"; a=2; c; =d'
        )
    assert json.loads(answer.body) == {
        "path": "/facts/ü", "raw": "/facts/%C3%BC", "target": "/facts/%C3%BC?a=1&b=%26&a=2",
        "query": [["a", "1"], ["b", "&"], ["a", "2"]], "last": "2", "all": ["1", "2"],
        "cookies": {"a": "1", "b": "x y"}, "url": "http://localhost/facts/%C3%BC?a=1&b=%26&a=2",
        "client": "127.0.0.1", "version": "1.1", "params": {"x": "ü"}, "app": True, "header": "1",
        "host": "localhost", "scheme": "http",
    }  # fmt: skip


async def test_the_absolute_form_of_a_target(visiting: Any) -> None:
    app = App()
    app.get("/a")(lambda request: request.query_string)
    async with visiting(app) as site:
        assert (await site.ask("GET", "http://localhost/a?x=1")).body == b"x=1"


# Static files


async def test_static_files(visiting: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "index.html").write_text("<p>")
    (tmp_path / "large.bin").write_bytes(bytes(range(256)) * 1000)
    app = App()
    app.static("/files", tmp_path, headers={"Cache-Control": "max-age=60"})
    async with visiting(app) as site:
        answer = await site.ask("GET", "/files/a.txt")
        assert (answer.status_code, answer.body) == (200, b"hello")
        assert answer.headers["Cache-Control"] == "max-age=60"
        tag = answer.headers["ETag"]
        assert (await site.ask("GET", "/files/a.txt", f"If-None-Match: {tag}")).status_code == 304
        part = await site.ask("GET", "/files/a.txt", "Range: bytes=1-2")
        assert (part.status_code, part.body) == (206, b"el")
        assert (await site.ask("GET", "/files/large.bin")).body == bytes(range(256)) * 1000
        large = await site.ask("HEAD", "/files/large.bin")
        assert (large.headers["Content-Length"], large.body) == ("256000", b"")
        assert (await site.ask("GET", "/files/sub/")).body == b"<p>"
        moved = await site.ask("GET", "/files/sub?x=1")
        assert (moved.status_code, moved.headers["Location"]) == (308, "/files/sub/?x=1")
        assert (await site.ask("POST", "/files/a.txt")).status_code == 405
        for path in ("", "/", "/..%2f", "/%2e%2e/x", "/sub%2findex.html", "//a.txt", "/nothing"):
            assert (await site.ask("GET", f"/files{path}")).status_code == 404


async def test_static_files_at_the_root(visiting: Any, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("start")
    app = App()
    app.static("/", tmp_path)
    app.get("/other")(lambda request: "other")
    async with visiting(app) as site:
        assert (await site.ask("GET", "/")).body == b"start"
        assert (await site.ask("GET", "/other")).body == b"other"
        assert (await site.ask("GET", "//evil.test/..")).status_code == 404


async def test_a_file_as_a_response(visiting: Any, tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(b"%PDF")
    app = App()
    app.get("/")(lambda request: Response.file(tmp_path / "report.pdf", filename="r.pdf"))
    app.get("/none")(lambda request: Response.file(tmp_path / "none"))
    async with visiting(app) as site:
        answer = await site.ask("GET", "/")
        assert (answer.body, answer.headers["Content-Type"]) == (b"%PDF", "application/pdf")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="r.pdf"'
        assert (await site.ask("GET", "/none")).status_code == 500


# Parts of an application


async def test_including(visiting: Any) -> None:
    api = App(max_size=10)
    api.websocket("/echo")(echo)
    app = App(max_size=1000)
    app.include(api, prefix="/{version}/api")
    # Declared later, and through two.
    inner = App()
    inner.get("/who")(lambda request: {"app": request.app is app, **request.path_params})
    api.include(inner, prefix="/inner")
    async with visiting(app) as site:
        answer = await site.ask("GET", "/v1/api/inner/who")
        assert json.loads(answer.body) == {"app": True, "version": "v1"}
        async with site.connect("/v1/api/echo") as ws:
            await ws.send("x" * 11)
            with pytest.raises(duologue.ConnectionClosedError):
                await ws.recv()
            assert ws.close_code == 1009


async def test_rules_of_included_applications_hold_besides(visiting: Any) -> None:
    part = App(max_connections=1)
    part.websocket("/a")(echo)
    part.websocket("/b")(echo)
    app = App(max_connections=2)
    app.include(part, prefix="/part")
    app.websocket("/c")(echo)
    async with visiting(app) as site, site.connect("/part/a"):
        assert (await refused(site.connect("/part/b")))[0] == 503
        async with site.connect("/c"):
            assert (await refused(site.connect("/c")))[0] == 503


def test_what_cannot_be_included() -> None:
    app, other = App(), App()
    app.include(other, prefix="/x")
    with pytest.raises(ValueError, match="included in itself"):
        other.include(app)
    with pytest.raises(ValueError, match="included in itself"):
        app.include(app)
    with pytest.raises(ValueError, match="slash"):
        app.include(App(), prefix="/y/")


def test_declarations_that_contradict_each_other() -> None:
    app = App()
    app.get("/a")(lambda request: "")
    app.post("/a")(lambda request: "")
    app.websocket("/a", subprotocols=["v1", "v2"])(echo)
    app.websocket("/a")(echo)
    for declare in (
        lambda: app.route("/a", methods=["GET"])(lambda request: ""),
        lambda: app.websocket("/a", subprotocols=["v3", "V2"])(echo),
        lambda: app.websocket("/a")(echo),
    ):
        with pytest.raises(ValueError, match="already"):
            declare()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("declare", "error"),
    [
        (lambda app: app.websocket("/", max_sise=1), "max_sise"),
        (lambda app: app.get("/", nothing=1), "nothing"),
        (lambda app: app.websocket("/")(lambda ws: None), "coroutine function"),
        (lambda app: app.websocket("/", subprotocols="v1")(echo), "list of names"),
        (lambda app: app.get("/")("text"), "function"),
        (lambda app: app.route("/", methods="GET"), "list"),
        (lambda app: app.websocket(echo), "a path is text"),
        (lambda app: app.get(echo), "a path is text"),
        (lambda app: app.include(echo), r"include\(\) takes an App"),
        (lambda app: app.mount("/", "module:app"), "can be called"),
    ],
)
def test_declarations_of_the_wrong_type(declare: Any, error: str) -> None:
    with pytest.raises(TypeError, match=error):
        handler = declare(App())
        handler(echo)


def test_unknown_options() -> None:
    with pytest.raises(TypeError, match="max_sise"):
        App(max_sise=1)
    with pytest.raises(ValueError, match="max_size"):
        App(max_size=-1)


# Life


async def test_lifespans(visiting: Any) -> None:
    events: list[str] = []

    def lifespan(name: str) -> Any:
        @contextlib.asynccontextmanager
        async def around(app: App) -> AsyncIterator[dict[str, str]]:
            events.append(f"{name} begins")
            app.state.order = events
            yield {name: name}
            events.append(f"{name} ends")

        return around

    app, part = App(lifespan=lifespan("app")), App(lifespan=lifespan("part"))
    app.include(part)
    app.get("/")(lambda request: [request.app.state.app, request.app.state.part])
    async with visiting(app) as site:
        assert (await site.ask("GET", "/")).body == b'["app","part"]'
        assert events == ["app begins", "part begins"]
    assert events == ["app begins", "part begins", "part ends", "app ends"]


async def test_connections_are_closed_before_the_lifespan_ends(visiting: Any) -> None:
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        yield
        events.append("lifespan")

    app = App(lifespan=lifespan)

    @app.websocket("/")
    async def talk(ws: Any) -> None:
        await ws.wait_closed()
        events.append("handler")

    async with visiting(app) as site:
        ws = await site.connect()
    await ws.wait_closed()
    assert (ws.close_code, events) == (1001, ["handler", "lifespan"])


async def test_the_health_path_knows_no_rules(visiting: Any) -> None:
    app = App(health_path="/healthz", allowed_hosts=["app.test"])
    app.get("/")(lambda request: "x")
    async with visiting(app) as site:
        assert (await site.ask("GET", "/healthz")).body == b"ok\n"
        assert (await site.ask("GET", "/")).status_code == 403
        assert (await site.ask("GET", "/", "Host: app.test")).body == b"x"
        async with site.link() as link:
            app.stopping = True
            link.write(head("GET", "/healthz"))
            assert (await link.answer()).status_code == 503


async def test_names_of_the_server(visiting: Any) -> None:
    for name in (None, "me"):
        app = App(server_header=name)
        app.get("/")(lambda request: "x")
        async with visiting(app) as site:
            assert (await site.ask("GET", "/")).headers.get("Server") == name


async def test_its_own_logger(visiting: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = App(logger=logging.getLogger("mine"))
    app.websocket("/")(echo)
    async with visiting(app) as site, site.connect():
        pass
    assert "mine" in {record.name for record in caplog.records}


async def test_an_answer_that_cannot_be_sent_is_no_fault_of_the_client(
    visiting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.get("/")
    async def index(request: Any) -> Response:
        return Response("", headers={"X-A": "a\nb"})

    async with visiting(app) as visitor:
        assert (await visitor.ask("GET", "/")).status_code == 500
    assert "invalid X-A header" in caplog.text


# Handlers and their arguments


def test_handlers_take_what_is_asked() -> None:
    app = App()

    async def nothing() -> str:
        return ""

    async def only_parameters(*, name: str) -> str:
        return name

    for handler in (nothing, only_parameters):
        with pytest.raises(TypeError, match="takes the request or connection first"):
            app.get("/{name}")(handler)
        with pytest.raises(TypeError, match="takes the request or connection first"):
            app.websocket("/{name}")(handler)


async def test_parameters_that_no_path_gives(visiting: Any) -> None:
    part = App()

    @part.get("/{name}")
    async def item(request: Request, name: str, shop: str, colour: str = "red") -> str:
        return f"{shop} {name} {colour}"

    with pytest.raises(TypeError, match=r"item.* takes shop, which /\{name\} doesn't give"):
        async with part.serving("127.0.0.1", 0):
            pass
    whole = App()
    whole.include(part, prefix="/{shop}")
    async with visiting(whole) as site:
        assert (await site.ask("GET", "/grocer/apple")).body == b"grocer apple red"


async def test_forms_with_files_are_for_others(
    visiting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.post("/form")
    async def form(request: Request) -> str:
        return repr(await request.form())

    async with visiting(app) as site:
        kind = "Content-Type: multipart/form-data; boundary=x"
        assert (await site.ask("POST", "/form", kind, body=b"--x--\r\n")).status_code == 415
        assert "mount an ASGI application" in caplog.text


# Handshakes


async def test_handshakes_that_are_no_get_are_requests(visiting: Any) -> None:
    app = App()

    @app.websocket("/talk")
    async def talk(ws: Any) -> None: ...

    @app.post("/talk")
    async def post(request: Request) -> bytes:
        return await request.body()

    fields = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    async with visiting(app) as site:
        assert (await site.ask("POST", "/talk", *fields, body=b"said")).body == b"said"
        answer = await site.ask("PUT", "/talk", *fields)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")


KEY = "dGhlIHNhbXBsZSBub25jZQ=="
BROWSER = [
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Origin: http://localhost",
    "Cookie: a=b",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
]
PLAIN = [
    "upgrade: websocket",
    "connection: Upgrade",
    f"sec-websocket-key: {KEY}",
    "sec-websocket-version: 13",
]


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("fields", [BROWSER, PLAIN, [*PLAIN, "Sec-WebSocket-Protocol: v1"]])
async def test_every_handshake_is_answered_alike(
    visiting: Any, fields: list[str], compression: str | None
) -> None:
    """The short way, the way of who adds headers, and ``serve()``."""
    app = App(compression=compression)
    met: list[Any] = []

    async def note(ws: Any) -> None:
        deflate = bool(ws.extensions)
        met.append((ws.subprotocol, ws.origin, deflate, ws.request.path, dict(ws.response.headers)))

    async def adding(request: Any) -> None:
        await request.accept(headers={"X-Mine": "1"})

    app.websocket("/short")(note)
    app.websocket("/other", on_request=adding)(note)

    def answer_of(octets: bytes) -> bytes:
        head = octets.partition(b"\r\n\r\n")[0].replace(b"X-Mine: 1\r\n", b"")
        return re.sub(rb"Date: [^\r]*\r\n", b"", head)

    async with (
        visiting(app) as site,
        duologue.serve(note, "127.0.0.1", 0, compression=compression) as server,
    ):
        answers = []
        for path, port in (
            ("/short", site.port),
            ("/other", site.port),
            ("/plain", server.sockets[0].getsockname()[1]),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head("GET", path, *fields))
            answers.append(answer_of(await reader.readuntil(b"\r\n\r\n")))
            writer.close()
            await writer.wait_closed()
    assert answers[0] == answers[1] == answers[2]
    assert answers[0].startswith(b"HTTP/1.1 101 ")
    assert (b"permessage-deflate" in answers[0]) is (compression is not None and fields is BROWSER)
    for facts in met:
        for name in ("date", "x-mine"):
            facts[4].pop(name, None)
    assert [facts[3] for facts in met] == ["/short", "/other", "/plain"]
    short, other, plain = ((*facts[:3], facts[4]) for facts in met)
    assert short == other == plain


# What handlers know of a connection


async def test_facts_of_a_connection(visiting: Any) -> None:
    app = App()

    @app.websocket("/room")
    async def room(ws: Any) -> None:
        tags = ws.query_params.get_all("tag")
        await ws.send_json([ws.query_params["name"], tags, ws.cookies, ws.client])

    async with visiting(app) as site:
        path = "/room?name=J%C3%BCrgen+B&tag=1&tag=2"
        headers = {"Cookie": "a=1; b=2; a=3", "X-Forwarded-For": "192.0.2.1"}
        async with site.connect(path, additional_headers=headers) as ws:
            told = await ws.recv_json()
            assert told == ["Jürgen B", ["1", "2"], {"a": "1", "b": "2"}, ["192.0.2.1", 0]]
        async with site.connect(path) as ws:
            assert (await ws.recv_json())[2:] == [{}, list(ws.local_address[:2])]


async def test_attributes_of_ones_own_go_before_facts(visiting: Any) -> None:
    def note(connection: Any, request: Any) -> None:
        connection.cookies = connection.query_params = connection.client = "mine"

    async def tell(ws: Any) -> None:
        await ws.send_json([ws.cookies, ws.query_params, ws.client])

    async with duologue.serve(tell, "127.0.0.1", 0, process_request=note) as server:
        host, port = server.sockets[0].getsockname()
        async with duologue.connect(f"ws://{host}:{port}/") as ws:
            assert await ws.recv_json() == ["mine"] * 3


@pytest.mark.parametrize("keep", [False, True])
async def test_facts_that_endpoints_let_go_of(visiting: Any, keep: bool) -> None:
    app = App()

    @app.websocket("/")
    class Room(duologue.Endpoint):
        keep_request = keep

        def on_open(self, ws: Any) -> None:
            ws.send(ws.query_params["name"])

        def on_message(self, ws: Any, message: Any) -> None:
            try:
                ws.send(ws.query_params["name"])
            except duologue.InvalidState as error:
                ws.send(str(error))

    async with visiting(app) as site, site.connect("/?name=ann") as ws:
        assert await ws.recv() == "ann"
        await ws.send("again")
        assert await ws.recv() == (
            "ann" if keep else "the request is not kept; set keep_request of the Endpoint"
        )


# State and lifespans of parts


async def test_parts_share_the_state_of_the_whole(visiting: Any) -> None:
    async def lifespan(app: App) -> AsyncIterator[dict[str, str]]:
        yield {"database": "open"}
        app.state.database = "closed"

    part, whole = App(lifespan=lifespan), App()
    part.state.own = "kept"
    part.state.both = "part"
    whole.state.both = "whole"
    whole.include(part, prefix="/part")

    @part.websocket("/")
    async def tell(ws: Any) -> None:
        await ws.send_json(vars(part.state))

    async with visiting(whole) as site, site.connect("/part/") as ws:
        told = await ws.recv_json()
        assert told == {"both": "whole", "own": "kept", "database": "open"}
    assert whole.state.database == "closed"
    assert part.state is whole.state


@pytest.mark.parametrize("name", ["max_size", "origins", "compression", "connect_rate"])
def test_options_that_mean_nothing_for_plain_http(name: str) -> None:
    with pytest.raises(TypeError, match=rf'app.route\("/x"\) has no use for {name!r}'):
        App().get("/x", **{name: None})


@pytest.mark.parametrize("name", ["get", "head", "post", "put", "patch", "delete", "options"])
async def test_each_method_has_its_decorator(visiting: Any, name: str) -> None:
    app = App()

    @getattr(app, name)("/thing")
    async def thing(request: Request) -> Response:
        assert request.client is not None
        return Response("", headers={"X-Asked": f"{request.method} {request.client.host}"})

    async with visiting(app) as site:
        answer = await site.ask(name.upper(), "/thing")
        assert answer.headers["X-Asked"] == f"{name.upper()} 127.0.0.1"


async def test_a_method_that_nobody_knows(visiting: Any) -> None:
    async with visiting(App()) as site:
        answer = await site.ask("BREW", "/pot")
        assert (answer.status_code, answer.body) == (501, b"unknown HTTP method: BREW\n")
        assert "Allow" not in answer.headers
