from __future__ import annotations

import base64
import hashlib
import re
from http import HTTPStatus

import pytest

from duologue.datastructures import Headers
from duologue.frontends import pages
from duologue.http11 import Request


def request(path: str = "/", *headers: tuple[str, str], method: str = "GET") -> Request:
    return Request(path, Headers([("Host", "localhost"), *headers]), method)


class TestLoad:
    def test_reads_the_file_and_knows_its_type(self):
        page = pages.load("duologue.frontends.demo", "pages/style.css")
        assert page.content_type == "text/css; charset=utf-8"
        assert page.body.startswith(b"/*")

    def test_inline_scripts_and_styles_are_allowed_by_their_hashes_only(self):
        page = pages.load("duologue.frontends.echo", "page.html")
        for element, directive in [(b"script", "script-src"), (b"style", "style-src")]:
            (inline,) = re.findall(
                b"<" + element + b">(.*)</" + element + b">", page.body, re.DOTALL
            )
            digest = base64.b64encode(hashlib.sha256(inline).digest()).decode()
            assert f"{directive} 'self' 'sha256-{digest}';" in page.policy
        assert "unsafe" not in page.policy

    def test_without_inline_parts_the_policy_allows_files_of_the_origin(self):
        page = pages.load("duologue.frontends.demo", "pages/echo.html")
        assert "script-src 'self';" in page.policy
        assert "default-src 'none'" in page.policy
        assert "connect-src 'self'" in page.policy

    def test_refuses_unknown_kinds_and_missing_files(self):
        with pytest.raises(ValueError, match=r"no content type is known for page\.exe"):
            pages.load("duologue.frontends.echo", "page.exe")
        with pytest.raises(FileNotFoundError):
            pages.load("duologue.frontends.echo", "other.html")


class TestAnswers:
    def test_page(self):
        page = pages.load("duologue.frontends.demo", "pages/echo.js")
        response = pages.answer(page)
        assert (response.status_code, response.reason_phrase) == (200, "OK")
        assert response.body == page.body
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert response.headers["Content-Length"] == str(len(page.body))
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["Content-Security-Policy"] == page.policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Connection" not in response.headers  # keep-alive is for the exchange to decide

    def test_text(self):
        response = pages.text_answer(HTTPStatus.NOT_FOUND, "Näh.")
        assert response.status_code == 404
        assert response.body == "Näh.\n".encode()
        assert response.headers["Content-Length"] == "6"

    def test_refusal(self):
        response = pages.refusal(HTTPStatus.NOT_FOUND, "No such page.", [("X-Extra", "1")])
        assert response.status_code == 404
        assert b"<h1>404 Not Found</h1>" in response.body
        assert b"No such page." in response.body
        assert response.headers["X-Extra"] == "1"

    def test_method_refusal_names_the_methods_allowed(self):
        response = pages.method_refusal()
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/echo?a=b?c", "/echo"),
        ("http://localhost:8001/echo?x", "/echo"),
        ("http://localhost:8001", "/"),
        ("*", "*"),
        ("//echo", "//echo"),
    ],
)
def test_request_path(target, path):
    assert pages.request_path(request(target)) == path


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([], False),
        ([("Upgrade", "websocket")], True),
        ([("Upgrade", "h2c, WebSocket")], True),
        ([("Upgrade", "h2c"), ("Upgrade", "websocket")], True),
        ([("Upgrade", "h2c")], False),
        ([("Upgrade", "websockets")], False),
        ([("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")], True),
    ],
)
def test_wants_websocket(headers, wanted):
    assert pages.wants_websocket(request("/", *headers)) is wanted
