"""Responses from content, and from their parts."""

from __future__ import annotations

import dataclasses

import pytest

from duologue.wire.headers import Headers
from duologue.wire.response import FileResponse, Response


def parts(response: Response) -> tuple[int, str, list[tuple[str, str]], bytes]:
    fields = list(response.headers.raw_items())
    return response.status_code, response.reason_phrase, fields, bytes(response.body)


def test_text_and_octets() -> None:
    text = [("Content-Type", "text/plain; charset=utf-8")]
    assert parts(Response("grüß dich")) == (200, "OK", text, "grüß dich".encode())
    octets = [("Content-Type", "application/octet-stream")]
    assert parts(Response(b"\x00")) == (200, "OK", octets, b"\x00")
    assert parts(Response(memoryview(b"ab"))) == (200, "OK", octets, b"ab")
    assert parts(Response()) == (200, "OK", [], b"")
    assert parts(Response("", 204)) == (204, "No Content", [], b"")


def test_status_headers_and_type() -> None:
    html = [("X-A", "1"), ("Content-Type", "text/html")]
    assert parts(Response("x", 404, {"X-A": "1"}, content_type="text/html"))[:3] == (
        404, "Not Found", html,
    )  # fmt: skip
    assert parts(Response("x", headers=[("content-type", "a/b")]))[2] == [("content-type", "a/b")]
    assert parts(Response("x", status=499))[:2] == (499, "")


def test_the_headers_given_are_not_changed() -> None:
    given = Headers({"X-A": "1"})
    Response("x", headers=given).headers["X-B"] = "2"
    assert "X-B" not in given


def test_the_form_of_websockets() -> None:
    headers = Headers({"X-A": "1"})
    response = Response(101, "Switching", headers, b"x")
    assert response == Response(
        status_code=101, reason_phrase="Switching", headers=headers, body=b"x"
    )
    assert response.headers is headers
    assert dataclasses.replace(response, body=b"").body == b""
    assert repr(response).startswith("Response(status_code=101, reason_phrase='Switching'")


@pytest.mark.parametrize("status", [99, 100, 101, 199, 600, 0])
def test_a_status_that_answers_nothing(status: int) -> None:
    with pytest.raises(ValueError, match=f"from 200 to 599, not {status}"):
        Response("x", status)


@pytest.mark.parametrize("content", [None, {"a": 1}, 1.5, ["a"]])
def test_content_of_another_type(content: object) -> None:
    with pytest.raises(TypeError, match="str or bytes"):
        Response(content)  # type: ignore[call-overload]


def test_json() -> None:
    response = Response.json({"a": [1, None, "ü"]}, 201)
    wanted = b'{"a":[1,null,"\xc3\xbc"]}'
    assert parts(response) == (201, "Created", [("Content-Type", "application/json")], wanted)
    assert Response.json("\ud800").body == b'"\\ud800"'
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            Response.json(value)
    with pytest.raises(TypeError):
        Response.json(object())


def test_html() -> None:
    response = Response.html("<p>")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


def test_redirect() -> None:
    response = Response.redirect("/über?a=b c&d=%20")
    assert response.status_code == 307
    assert response.headers["Location"] == "/%C3%BCber?a=b%20c&d=%20"
    assert Response.redirect("https://x.test/", 308).status_code == 308
    assert "\n" not in Response.redirect("/x\r\nSet-Cookie: a=b").headers["Location"]
    with pytest.raises(ValueError, match="not 200"):
        Response.redirect("/", 200)


def test_file_names() -> None:
    response = Response.file("/tmp/x", content_type="a/b", filename='Zahl "1".pdf')
    assert isinstance(response, FileResponse)
    assert response.path == "/tmp/x"
    assert response.headers["Content-Type"] == "a/b"
    assert response.headers["Content-Disposition"] == (
        "attachment; filename=\"Zahl _1_.pdf\"; filename*=UTF-8''Zahl%20%221%22.pdf"
    )
    plain = Response.file("x", filename="a b.txt").headers["Content-Disposition"]
    assert plain == 'attachment; filename="a b.txt"'
    with pytest.raises(ValueError, match="App"):
        response.serialize()


def test_cookies() -> None:
    response = Response("x")
    response.set_cookie("a", "1")
    response.set_cookie(
        "b", "2", max_age=0, path=None, domain="x.test", secure=True, httponly=True, samesite="none"
    )
    response.set_cookie("c", samesite=None)
    assert response.headers.get_all("Set-Cookie") == [
        "a=1; Path=/; SameSite=Lax",
        "b=2; Max-Age=0; Domain=x.test; Secure; HttpOnly; SameSite=None",
        "c=; Path=/",
    ]


@pytest.mark.parametrize(
    ("name", "value", "options"),
    [
        ("", "1", {}),
        ("a=b", "1", {}),
        ("a", "1;2", {}),
        ("a", "1\r\n", {}),
        ("a", "ü", {}),
        ("a b", "1", {}),
        ("a", "1", {"path": "/;x"}),
        ("a", "1", {"domain": "x,y"}),
        ("a", "1", {"samesite": "no"}),
    ],
)
def test_cookies_that_cannot_be(name: str, value: str, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"cookie|samesite"):
        Response("x").set_cookie(name, value, **options)  # type: ignore[arg-type]
