"""`Response`: an HTTP response as a value, made of what people have at hand, or of its parts.

Text, JSON, octets, the name of a file, a redirect; or, as for `websockets`, status code, reason
phrase, headers and body. It must never know the request it answers, nor read the file it names:
that is for whoever sends it.

Sources: RFC 9110 sections 8 and 15, RFC 8259 (JSON), RFC 6265 (cookies), RFC 6266 (file names).
"""

from __future__ import annotations

import http
import os
import re
from dataclasses import dataclass
from typing import Any, overload
from urllib.parse import quote

from duologue.base.types import StatusLike
from duologue.wire.headers import Headers, HeadersLike
from duologue.wire.json import encode_json

__all__ = ["FileResponse", "Response"]

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"
OCTETS = "application/octet-stream"

# What a URI may hold as it is; everything else is percent-encoded, a percent sign not again.
_SAFE = ":/?#[]@!$&'()*+,;=%-._~"
_is_reason = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch


@dataclass(init=False)
class Response:
    r"""An answer to an HTTP request.

    ::

        Response("fine\n")
        Response(png, content_type="image/png")
        Response.json({"users": 3}, status=201)
        Response.file("report.pdf")
        Response.redirect("/elsewhere")

    Args:
        content: text, sent as UTF-8, or octets. An :class:`int` is a status code, followed by
            reason phrase, headers and body, as in ``websockets``.
        status: status code.
        headers: more header fields.
        content_type: value of ``Content-Type``; by default ``text/plain; charset=utf-8`` for text
            and ``application/octet-stream`` for octets, unless ``headers`` have one.

    Raises:
        TypeError: If the content is something else.
        ValueError: If the status code isn't from 200 to 599, content being first.
    """

    status_code: int
    reason_phrase: str
    headers: Headers
    body: bytes | bytearray = b""

    @overload
    def __init__(
        self,
        content: str | bytes | bytearray | memoryview = ...,
        /,
        *,
        status: StatusLike = ...,
        headers: HeadersLike | None = ...,
        content_type: str | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        content: str | bytes | bytearray | memoryview,
        status: StatusLike,
        headers: HeadersLike | None = ...,
        /,
        *,
        content_type: str | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        status_code: int,
        reason_phrase: str,
        headers: Headers,
        body: bytes | bytearray = ...,
    ) -> None: ...
    def __init__(
        self,
        status_code: Any = b"",
        reason_phrase: Any = 200,
        headers: Any = None,
        body: bytes | bytearray = b"",
        *,
        status: StatusLike | None = None,
        content_type: str | None = None,
    ) -> None:
        if isinstance(status_code, int):
            self.status_code = status_code
            self.reason_phrase = reason_phrase
            self.headers = headers
            self.body = body
        else:
            # Content first: what comes second is its status.
            self._hold(status_code, content_type, Headers() if headers is None else headers)
            self.status_code = int(reason_phrase if status is None else status)
            if not 200 <= self.status_code <= 599:
                raise ValueError(f"a response's status is from 200 to 599, not {self.status_code}")
            self.reason_phrase = _phrase(self.status_code)

    def _hold(self, content: object, content_type: str | None, headers: HeadersLike) -> None:
        if isinstance(content, str):
            self.body, guess = content.encode(), TEXT
        elif isinstance(content, bytes | bytearray | memoryview):
            self.body, guess = bytes(content), OCTETS
        else:
            raise TypeError(
                f"a response is made of str or bytes, not {type(content).__name__}; "
                "Response.json() takes anything that JSON knows"
            )
        self.headers = Headers(headers)
        if content_type is not None:
            self.headers["Content-Type"] = content_type
        elif self.body and "Content-Type" not in self.headers:
            self.headers["Content-Type"] = guess

    def serialize(self) -> bytes:
        """Return the response as octets, body included.

        The headers are written as they are: a body needs its `Content-Length` there.

        Raises:
            ValueError: If status code or reason phrase cannot stand in a status line.
        """
        if not 100 <= self.status_code <= 599 or _is_reason(self.reason_phrase) is None:
            raise ValueError(
                f"cannot send this status line: {int(self.status_code)} {self.reason_phrase!r}"
            )
        line = f"HTTP/1.1 {int(self.status_code)} {self.reason_phrase}\r\n".encode("iso-8859-1")
        return line + self.headers.serialize() + self.body

    @classmethod
    def text(
        cls, text: str, status: StatusLike = 200, headers: HeadersLike | None = None
    ) -> Response:
        """Plain text, sent as UTF-8."""
        return cls(text, status, headers, content_type=TEXT)

    @classmethod
    def html(
        cls, text: str, status: StatusLike = 200, headers: HeadersLike | None = None
    ) -> Response:
        """A document in HTML, sent as UTF-8."""
        return cls(text, status, headers, content_type=HTML)

    @classmethod
    def json(
        cls, value: object, status: StatusLike = 200, headers: HeadersLike | None = None
    ) -> Response:
        """A value as JSON.

        Raises:
            TypeError: If JSON doesn't know the value's type.
            ValueError: If the value is not finite or contains itself.
        """
        return cls(encode_json(value).encode(), status, headers, content_type=JSON)

    @classmethod
    def redirect(
        cls, url: str, status: StatusLike = 307, headers: HeadersLike | None = None
    ) -> Response:
        """Send the client elsewhere.

        Args:
            url: value of ``Location``, absolute or relative; what a URL can't hold is
                percent-encoded.
            status: 307 and 308 (for good) keep the method, 303 makes it GET, 301 and 302 are what
                old programs know.
            headers: more header fields.

        Raises:
            ValueError: If the status is no redirection.
        """
        if int(status) not in (301, 302, 303, 307, 308):
            raise ValueError(f"a redirect's status is 301, 302, 303, 307 or 308, not {status}")
        response = cls(b"", status, headers)
        response.headers["Location"] = quote(url, safe=_SAFE)
        return response

    @classmethod
    def file(
        cls,
        path: str | os.PathLike[str],
        status: StatusLike = 200,
        headers: HeadersLike | None = None,
        *,
        content_type: str | None = None,
        filename: str | None = None,
    ) -> Response:
        """A file, read while it is sent; for handlers of an App.

        It gets ``ETag`` and ``Last-Modified``; conditional requests are answered with 304, and one
        range with 206.

        Args:
            path: in the file system. Never make it of a request's text: use ``app.static()``.
            status: status code.
            headers: more header fields.
            content_type: by default that of the file's suffix.
            filename: offers to save it under this name.
        """
        response = FileResponse(b"", status, headers)
        response.path = os.fspath(path)
        if content_type is not None:
            response.headers["Content-Type"] = content_type
        if filename is not None:
            response.headers["Content-Disposition"] = _attachment(filename)
        return response

    def set_cookie(
        self,
        name: str,
        value: str = "",
        *,
        max_age: int | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: str | None = "lax",
    ) -> None:
        """Add a ``Set-Cookie`` field (RFC 6265).

        Args:
            name: a token.
            value: visible ASCII without quotes, commas, semicolons and backslashes.
            max_age: seconds to keep it; ``None`` until the browser is closed, 0 to delete it.
            path: where it is sent to.
            domain: of other hosts that get it too.
            secure: over TLS only.
            httponly: not for scripts.
            samesite: ``"lax"``, ``"strict"``, ``"none"``, or ``None`` to leave it to the browser.

        Raises:
            ValueError: If a part can't stand in a cookie.
        """
        for text in (name, value, path or "", domain or ""):
            if any(not "!" <= char <= "~" or char in '",;\\' for char in text):
                raise ValueError(f"{text!r} can't stand in a cookie")
        if not name or "=" in name:
            raise ValueError(f"a cookie can't be named {name!r}")
        if samesite is not None and samesite not in ("lax", "strict", "none"):
            raise ValueError(f"samesite is 'lax', 'strict' or 'none', not {samesite!r}")
        parts = [f"{name}={value}"]
        parts += [f"Max-Age={max_age}"] if max_age is not None else []
        parts += [f"Path={path}"] if path is not None else []
        parts += [f"Domain={domain}"] if domain is not None else []
        parts += ["Secure"] if secure else []
        parts += ["HttpOnly"] if httponly else []
        parts += [f"SameSite={samesite.capitalize()}"] if samesite is not None else []
        self.headers["Set-Cookie"] = "; ".join(parts)


class FileResponse(Response):
    """What :meth:`Response.file` makes; who sends it reads the file.

    Attributes:
        path: in the file system.
    """

    path: str

    def serialize(self) -> bytes:
        """Raise: the body isn't here.

        Raises:
            ValueError: In any case.
        """
        raise ValueError(f"the file {self.path} can be sent by an App's handlers only")


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def _attachment(filename: str) -> str:
    # RFC 6266: a name in ASCII for all, and the real one for who knows RFC 8187.
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in filename)
    if plain == filename:
        return f'attachment; filename="{plain}"'
    encoded = quote(filename, safe="!#$&+-.^_`|~")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
