"""Web pages that live as files in the package, and the HTTP answers made of them.

What it is: the shortest way from a file to an HTTP response, for front-ends that show a page on the
port where they speak WebSocket. It knows nothing of sockets, and nothing of what the pages do.

It must never map a request's path to a file name: pages are loaded by the names that the code
gives, once, and a request only picks among them. Hence there is no path to traverse.

Invariants: every answer carries its length, its type and the security headers; text is always
UTF-8; nothing of the request is ever repeated in an answer.

Sources: RFC 9110 (§7.8 Upgrade, §10.2.1 Allow), RFC 9112 (§3.2.2 absolute form), Content
Security Policy 3.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from string import Template
from urllib.parse import urlsplit

from duologue.datastructures import Headers
from duologue.http11 import Request, Response

__all__ = [
    "CONTENT_TYPES",
    "METHODS",
    "Page",
    "answer",
    "load",
    "method_refusal",
    "policy",
    "refusal",
    "request_path",
    "text_answer",
    "wants_websocket",
]

CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""Content types by file suffix; files of another kind can't be loaded."""


METHODS = ("GET", "HEAD")
"""Methods that a page answers; the others get :func:`method_refusal`."""


def policy(script: str = "'self'", style: str = "'self'") -> str:
    """Returns a content security policy under which a page reaches its own origin only.

    Args:
        script: The sources scripts may come from, as CSP writes them.
        style: The same for style sheets.

    Returns:
        The value of a ``Content-Security-Policy`` header. ``connect-src 'self'`` covers ws and wss
        on the page's own host and port.
    """
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@dataclass(frozen=True, slots=True)
class Page:
    """A document ready to be sent.

    Attributes:
        content_type: Value of its ``Content-Type`` header.
        body: Its octets.
        policy: Value of its ``Content-Security-Policy`` header.
    """

    content_type: str
    body: bytes
    policy: str


def load(package: str, name: str) -> Page:
    """Reads a page from a file of a package.

    Scripts and style sheets written inside an HTML file are allowed by their hashes, so that a page
    can be one self-contained file and still run nothing that somebody smuggled in (CSP 3, §2.3.1).

    Args:
        package: Dotted name of the package, such as ``"duologue.frontends.demo"``.
        name: Path of the file in that package, with forward slashes.

    Raises:
        ValueError: If the kind of file is unknown, see :data:`CONTENT_TYPES`.
        FileNotFoundError: If the package has no such file.
    """
    suffix = name.rpartition(".")[2]
    if suffix not in CONTENT_TYPES:
        raise ValueError(f"no content type is known for {name}; add it to CONTENT_TYPES")
    body = files(package).joinpath(name).read_bytes()
    script, style = _sources(body, b"script"), _sources(body, b"style")
    return Page(CONTENT_TYPES[suffix], body, policy(script, style))


def _sources(document: bytes, element: bytes) -> str:
    pattern = b"<" + element + b">(.*?)</" + element + b">"
    hashes = [
        "'sha256-" + base64.b64encode(hashlib.sha256(inline).digest()).decode() + "'"
        for inline in re.findall(pattern, document, re.DOTALL)
    ]
    return " ".join(["'self'", *hashes])


def answer(
    page: Page,
    status: HTTPStatus = HTTPStatus.OK,
    extra: Iterable[tuple[str, str]] = (),
) -> Response:
    """Returns the HTTP response that carries a page.

    Args:
        page: The page.
        status: Status of the response.
        extra: Further headers.
    """
    headers = Headers(
        [
            ("Content-Type", page.content_type),
            ("Content-Length", str(len(page.body))),
            ("Cache-Control", "no-cache"),
            ("Content-Security-Policy", page.policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            *extra,
        ]
    )
    return Response(status.value, status.phrase, headers, page.body)


def text_answer(status: HTTPStatus, text: str) -> Response:
    """Returns a plain text response, for those who didn't come to see a page.

    Args:
        status: Status of the response.
        text: What to say; a line feed is added.
    """
    body = text.encode() + b"\n"
    return answer(Page("text/plain; charset=utf-8", body, policy()), status)


_REFUSAL = Template(
    """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$status $phrase</title>
<main>
  <h1>$status $phrase</h1>
  <p>$advice</p>
  <p><a href="/">Start page</a></p>
</main>
</html>
"""
)


def refusal(
    status: HTTPStatus,
    advice: str,
    extra: Iterable[tuple[str, str]] = (),
) -> Response:
    """Returns a small page that says why there is nothing else to see.

    Args:
        status: Status of the response.
        advice: One sentence, in HTML. It must not contain anything of the request.
        extra: Further headers, such as ``Allow`` with status 405.
    """
    body = _REFUSAL.substitute(status=status.value, phrase=status.phrase, advice=advice)
    return answer(Page(CONTENT_TYPES["html"], body.encode(), policy()), status, extra)


def method_refusal() -> Response:
    """Returns the answer to a request whose method isn't among :data:`METHODS`."""
    return refusal(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "Only GET and HEAD are answered here.",
        [("Allow", ", ".join(METHODS))],
    )


def request_path(request: Request) -> str:
    """Returns the path a request asks for, without query.

    It is found in the absolute form as well, which servers must accept (RFC 9112 §3.2.2).

    Args:
        request: The request.
    """
    target = request.path
    if not target.startswith("/"):
        target = urlsplit(target).path or "/"
    return target.partition("?")[0]


def wants_websocket(request: Request) -> bool:
    """Tells whether a request tries to open a WebSocket, correctly or not.

    A botched attempt counts: the opening handshake then answers with what is wrong with it, which
    tells its author more than a page would.

    Args:
        request: The request.
    """
    headers = request.headers
    tokens = ",".join(headers.get_all("Upgrade")).lower().split(",")
    return "websocket" in map(str.strip, tokens) or "Sec-WebSocket-Key" in headers
