"""Files of ``--staticdir`` as Go's ``FileServer`` answers them.

Invariant: a file is read whole only up to :data:`MAX_FILE`; of a larger one only the range that is
asked for, as far as that.
"""

from __future__ import annotations

import html
import mimetypes
import os
import re
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import quote

from duologue.datastructures import Headers
from duologue.http11 import Request, Response

__all__ = ["MAX_FILE", "respond"]

MAX_FILE = 64 * 1024 * 1024
"""Octets of a file that one answer carries."""

_RANGE = re.compile(r"bytes=\s*(?:(\d+)-(\d*)|-(\d+))\s*", re.ASCII)


def _answer(status: int, reason: str, body: bytes, *headers: tuple[str, str]) -> Response:
    return Response(status, reason, Headers(headers), body)


def _text(status: int, reason: str, text: str) -> Response:
    return _answer(
        status,
        reason,
        text.encode(),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
    )


def respond(path: str, request: Request, url_path: str) -> Response:
    """Answers a request for a file or a directory.

    Args:
        path: Where it is, or would be, in the file system.
        request: The request.
        url_path: Its path, percent-encoding undone.
    """
    if url_path.endswith("/index.html"):
        return _answer(301, "Moved Permanently", b"", ("Location", "./"))
    try:
        if os.path.isdir(path):
            if not url_path.endswith("/"):
                name = quote(os.fsencode(os.path.basename(url_path))) + "/"
                return _answer(301, "Moved Permanently", b"", ("Location", name))
            index = os.path.join(path, "index.html")
            if not os.path.isfile(index):
                return _listing(path)
            path = index
        elif url_path.endswith("/") and os.path.exists(path):
            name = "../" + quote(os.fsencode(os.path.basename(url_path.rstrip("/"))))
            return _answer(301, "Moved Permanently", b"", ("Location", name))
        if not os.path.isfile(path):
            return _text(404, "Not Found", "404 page not found\n")
        return _file(path, request)
    except PermissionError:
        return _text(403, "Forbidden", "403 Forbidden\n")
    except OSError:
        return _text(404, "Not Found", "404 page not found\n")


def _listing(path: str) -> Response:
    lines = ["<pre>"]
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        name = entry.name + ("/" if entry.is_dir() else "")
        shown = html.escape(os.fsencode(name).decode("utf-8", "replace"))
        # "./" keeps a name with a colon from being read as a URL with a scheme.
        target = ("./" if ":" in name else "") + quote(os.fsencode(name))
        lines.append(f'<a href="{target}">{shown}</a>')
    body = "\n".join([*lines, "</pre>", ""]).encode()
    modified = formatdate(int(os.stat(path).st_mtime), usegmt=True)
    kind = ("Content-Type", "text/html; charset=utf-8")
    return _answer(200, "OK", body, kind, ("Last-Modified", modified))


def _file(path: str, request: Request) -> Response:
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        size, modified = status.st_size, int(status.st_mtime)
        kind = mimetypes.guess_type(path)[0] or _sniff(file.read(512))
        if kind.startswith("text/") and "charset" not in kind:
            kind += "; charset=utf-8"
        common = (
            ("Accept-Ranges", "bytes"),
            ("Content-Type", kind),
            ("Last-Modified", formatdate(modified, usegmt=True)),
        )
        if _unmodified(request, modified):
            return _answer(304, "Not Modified", b"", common[2])
        start, end = _wanted_range(request, size)
        if start is None:
            text = "invalid range: failed to overlap\n"
            response = _text(416, "Requested Range Not Satisfiable", text)
            response.headers["Content-Range"] = f"bytes */{size}"
            response.headers["Last-Modified"] = formatdate(modified, usegmt=True)
            return response
        if end is None:
            if size > MAX_FILE:
                text = f"larger than {MAX_FILE} bytes: ask for ranges\n"
                return _text(416, "Requested Range Not Satisfiable", text)
            file.seek(0)
            return _answer(200, "OK", file.read(size), *common)
        file.seek(start)
        body = file.read(min(end + 1 - start, MAX_FILE))
        place = ("Content-Range", f"bytes {start}-{start + len(body) - 1}/{size}")
        return _answer(206, "Partial Content", body, *common, place)


def _sniff(octets: bytes) -> str:
    if re.match(rb"\s*<(!doctype html|html|head|body|script|!--)", octets, re.IGNORECASE):
        return "text/html"
    binary = any(octet < 9 or 13 < octet < 27 or 27 < octet < 32 for octet in octets)
    return "application/octet-stream" if binary else "text/plain"


def _unmodified(request: Request, modified: int) -> bool:
    since = request.headers.get_all("If-Modified-Since")
    try:
        return bool(since) and parsedate_to_datetime(since[0]).timestamp() >= modified
    except (ValueError, OverflowError):
        return False


def _wanted_range(request: Request, size: int) -> tuple[int | None, int | None]:
    """First and last octet that is wanted: (0, None) for all, (None, None) if there is no such."""
    lines = request.headers.get_all("Range")
    found = _RANGE.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None or "If-Range" in request.headers:
        # Several ranges, which hardly anybody asks for, are answered by the whole.
        return 0, None
    if found[3]:
        start, end = max(size - int(found[3]), 0), size - 1
    else:
        start, end = int(found[1]), min(int(found[2] or size), size - 1)
    if start > end:
        return None, None
    return start, end
