"""One file as an HTTP answer: validators, conditions, one range, content type.

:func:`open_file` decides everything about an answer from a path and a request's headers and returns
a :class:`FileAnswer`; who sends it reads the parts. It must never know how a request became a path.

Invariants: the file that was looked at is the file that is sent (one descriptor); never more octets
than announced; at most ``PART`` octets of a file are in memory for each answer.

Sources: RFC 9110 sections 8.3, 8.8, 13 and 14.
"""

from __future__ import annotations

import email.utils
import mimetypes
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from duologue.protocol.reply import http_date
from duologue.wire.headers import Headers

__all__ = ["PART", "FileAnswer", "content_type_of", "open_file"]

PART = 65_536
"""Octets of a file that are read and sent at a time."""

_types = mimetypes.MimeTypes(filenames=())
# Of files in use on web sites; the tables of the machine differ.
for _type, _suffix in (
    ("text/javascript", ".js"),
    ("text/javascript", ".mjs"),
    ("application/json", ".json"),
    ("application/json", ".map"),
    ("application/manifest+json", ".webmanifest"),
    ("application/wasm", ".wasm"),
    ("image/svg+xml", ".svg"),
    ("image/webp", ".webp"),
    ("image/avif", ".avif"),
    ("image/x-icon", ".ico"),
    ("font/woff", ".woff"),
    ("font/woff2", ".woff2"),
    ("text/markdown", ".md"),
):
    _types.add_type(_type, _suffix)

_range = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*").fullmatch


def content_type_of(name: str) -> str:
    """Return the media type of a file by its suffix; text is UTF-8."""
    kind, encoding = _types.guess_type(f"/{name}")
    if encoding is not None:
        # A file that is compressed as such, not in transfer.
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    if kind is None:
        return "application/octet-stream"
    if kind.startswith("text/") or kind in ("application/json", "image/svg+xml"):
        return f"{kind}; charset=utf-8"
    return kind


@dataclass(slots=True)
class FileAnswer:
    """What to send.

    Attributes:
        status: 200, 206, 304 or 416.
        headers: with ``Content-Length``, but for 304.
        descriptor: where to read the body; ``-1`` if there is none. Close it with :meth:`close`.
        start: first octet of the body in the file.
        length: octets of the body.
    """

    status: int
    headers: Headers
    descriptor: int = -1
    start: int = 0
    length: int = 0

    def parts(self) -> Iterator[bytes]:
        """Read the body part by part.

        Raises:
            OSError: If it can't be read, or the file has become shorter.
        """
        at, left = self.start, self.length
        while left:
            part = os.pread(self.descriptor, min(PART, left), at)
            if not part:
                raise OSError("the file has become shorter while it was sent")
            at += len(part)
            left -= len(part)
            yield part

    def close(self) -> None:
        """Close the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def open_file(
    path: str, request: Headers, fields: Headers, *, status: int = 200, body: bool = True
) -> FileAnswer:
    """Decide how to answer with a file.

    Args:
        path: of the file.
        request: headers of the request, whose conditions and range are honoured.
        fields: headers to send besides; a ``Content-Type`` among them stays.
        status: of the whole file; conditions and ranges are for 200 only.
        body: whether the body is to be sent; not for HEAD, which asks for the whole file's head.

    Raises:
        FileNotFoundError: If there is no regular file.
        OSError: If it can't be read.
    """
    # Opening a FIFO would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    answer = FileAnswer(status, fields.copy(), descriptor)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise FileNotFoundError(f"{path} is not a regular file")
        _decide(answer, path, facts, request, body)
    except BaseException:
        answer.close()
        raise
    if not body or not answer.length:
        answer.close()
    return answer


def _decide(
    answer: FileAnswer, path: str, facts: os.stat_result, request: Headers, body: bool
) -> None:
    headers = answer.headers
    etag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
    modified = int(facts.st_mtime)
    headers["ETag"] = etag
    headers["Last-Modified"] = http_date(modified)
    if answer.status == 200 and _unchanged(request, etag, modified):
        answer.status = 304
        for name in ("Content-Type", "Content-Disposition"):
            if name in headers:
                del headers[name]
        return
    if "Content-Type" not in headers:
        headers["Content-Type"] = content_type_of(os.path.basename(path))
    headers["X-Content-Type-Options"] = "nosniff"
    answer.length = facts.st_size
    if answer.status == 200:
        headers["Accept-Ranges"] = "bytes"
        if body and _range_holds(request, etag, modified):
            _cut(answer, request.get_all("Range")[0])
    headers["Content-Length"] = str(answer.length)


def _unchanged(request: Headers, etag: str, modified: int) -> bool:
    """Whether the client's copy is good (RFC 9110 section 13.2.2)."""
    tags = request.get_all("If-None-Match")
    if tags:
        listed = [tag.strip() for tag in ",".join(tags).split(",")]
        return "*" in listed or etag in [tag.removeprefix("W/") for tag in listed]
    since = request.get_all("If-Modified-Since")
    moment = _moment(since[0]) if len(since) == 1 else None
    return moment is not None and modified <= moment


def _range_holds(request: Headers, etag: str, modified: int) -> bool:
    """Whether a range is asked for, of this very version of the file."""
    if len(request.get_all("Range")) != 1:
        return False
    condition = request.get_all("If-Range")
    if not condition:
        return True
    return len(condition) == 1 and (condition[0] == etag or _moment(condition[0]) == modified)


def _cut(answer: FileAnswer, value: str) -> None:
    """Send the one range asked for; several, or what isn't understood, are the whole file."""
    found = _range(value)
    if found is None or found.groups() == ("", ""):
        return
    size = answer.length
    if found[1]:
        start = int(found[1])
        end = min(int(found[2]), size - 1) if found[2] else size - 1
        if found[2] and int(found[2]) < start:
            return
    else:
        start, end = max(0, size - int(found[2])), size - 1
        if not int(found[2]):
            start = size
    if start >= size:
        answer.status, answer.length = 416, 0
        answer.headers["Content-Range"] = f"bytes */{size}"
        del answer.headers["Content-Type"]
        return
    answer.status = 206
    answer.start, answer.length = start, end - start + 1
    answer.headers["Content-Range"] = f"bytes {start}-{end}/{size}"


def _moment(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
