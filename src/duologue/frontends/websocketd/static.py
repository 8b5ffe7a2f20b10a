"""Files of ``--staticdir``: which is meant, and the redirects and listings of Go's ``FileServer``.

How a file is sent is :mod:`duologue.app`'s: validators, ranges, a part at a time.
"""

from __future__ import annotations

import html
import mimetypes
import os
import re
from email.utils import formatdate
from urllib.parse import quote

from duologue.datastructures import Headers
from duologue.http11 import Response

__all__ = ["respond"]


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


def respond(path: str, url_path: str) -> Response:
    """Answers a request for a file or a directory; reads the file's beginning only.

    Args:
        path: Where it is, or would be, in the file system.
        url_path: Path of the request, percent-encoding undone.
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
        return _file(path)
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


def _file(path: str) -> Response:
    with open(path, "rb") as file:
        start = file.read(512)
    kind = mimetypes.guess_type(path)[0] or _sniff(start)
    if kind.startswith("text/") and "charset" not in kind:
        kind += "; charset=utf-8"
    return Response.file(path, content_type=kind)


def _sniff(octets: bytes) -> str:
    if re.match(rb"\s*<(!doctype html|html|head|body|script|!--)", octets, re.IGNORECASE):
        return "text/html"
    binary = any(octet < 9 or 13 < octet < 27 or 27 < octet < 32 for octet in octets)
    return "application/octet-stream" if binary else "text/plain"
