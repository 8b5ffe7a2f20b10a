"""``Publisher``: publishing from programs that serve nothing: Celery, cron jobs, Django views.

It talks to the endpoint that ``App.enable_publishing()`` opens: one POST of JSON, answered with
positions. A message is sent at most once: what fails midway is not repeated, and the error says so.
:class:`Post` decides what is sent and what the answer means; the two faces only move octets, with
blocking sockets or with asyncio.

Must never know hubs: it is the other end of HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import select
import socket
import ssl as ssl_module
import threading
import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from duologue.base.exceptions import PublishError
from duologue.base.types import DataLike
from duologue.wire.http11 import ResponseParser
from duologue.wire.response import Response

CHUNK = 65536


class Post:
    """What all requests of a publisher have in common, and how answers are read.

    Args:
        url: of the endpoint; without a path it is ``/publish``.
        token: instead of one in the URL, ``https://TOKEN@host/``.

    Raises:
        TypeError: If the token isn't str.
        ValueError: If the URL is none of HTTP, or there is no token.
    """

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"a publisher needs the URL of an endpoint for HTTP, not {url!r}")
        if token is None:
            token = unquote(parts.password or parts.username or "")
        if not isinstance(token, str):
            raise TypeError(f"a token must be str, not {token!r}")
        if not token:
            raise ValueError("a publisher needs a token")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("a token must consist of printable ASCII characters without spaces")
        self.secure = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if self.secure else 80)
        path = parts.path if parts.path not in ("", "/") else "/publish"
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = self.port == (443 if self.secure else 80)
        self._head = (
            f"POST {path}{'?' + parts.query if parts.query else ''} HTTP/1.1\r\n"
            f"Host: {host}{'' if default else f':{self.port}'}\r\n"
            f"Authorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\n"
        )

    def request(self, messages: Iterable[tuple[str, DataLike]]) -> bytes:
        """Build a request that publishes messages, in order.

        Raises:
            TypeError: If they are no pairs, or one of them is neither str nor bytes-like.
        """
        body = json.dumps([_entry(*_pair(each)) for each in messages]).encode()
        return f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def positions(self, response: Response) -> list[int]:
        """Read the answer.

        Raises:
            PublishError: If it is a refusal, or none that the endpoint gives.
        """
        status = response.status_code
        if status != 200:
            text = bytes(response.body[:500]).decode(errors="replace").strip()
            raise PublishError(f"publishing was answered with {status}: {text}", status)
        try:
            return [int(position) for position in json.loads(response.body)["positions"]]
        except (ValueError, KeyError, TypeError):
            raise PublishError("what answers there is no endpoint for publishing", 200) from None


def _pair(each: object) -> tuple[str, DataLike]:
    if not isinstance(each, tuple | list) or len(each) != 2:
        raise TypeError(f"messages must be pairs of topic and message, not {each!r}")
    topic, message = each
    if not isinstance(topic, str):
        raise TypeError(f"a topic must be str, not {topic!r}")
    return topic, message


def _entry(topic: str, message: DataLike) -> dict[str, str]:
    if isinstance(message, str):
        return {"topic": topic, "message": message}
    if isinstance(message, bytes | bytearray | memoryview):
        return {"topic": topic, "base64": base64.b64encode(message).decode()}
    raise TypeError(f"a message must be str or bytes, not {message!r}")


def _keeps(parser: ResponseParser, response: Response) -> bool:
    """Whether the connection may be used again after this answer."""
    said = ",".join(response.headers.get_all("Connection")).lower()
    return parser.protocol == "HTTP/1.1" and "close" not in said and not parser.rest


class Publisher:
    """Publishes to an application's topics from outside, over HTTP.

    ::

        publisher = duologue.Publisher("http://127.0.0.1:8000/publish", token=TOKEN)
        publisher.publish("orders", "42 is paid")           # blocks
        await publisher.apublish("orders", "42 is paid")    # on asyncio

    One object may be used by several threads, after a fork, and by several event loops. Each call
    makes a connection of its own; inside of ``with publisher:`` or ``async with publisher:`` there
    is one for all calls, one after the other.

    Args:
        url: the endpoint's; without a path it is ``/publish``.
        token: one of those that the application was given; it may stand in the URL instead, as in
            ``https://TOKEN@example.com``.
        timeout: seconds for all of one call, ``None`` for any time. Default 10.
        ssl: context for ``https``, by default one that trusts the system's authorities.

    Raises:
        TypeError: If the token isn't str.
        ValueError: If the URL is none of HTTP, there is no token, or ``timeout`` isn't more than 0.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float | None = 10.0,
        ssl: ssl_module.SSLContext | None = None,
    ) -> None:
        self._post = Post(url, token)
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout must be more than 0 or None, not {timeout!r}")
        self._timeout = timeout
        self._ssl: ssl_module.SSLContext | None = None
        if self._post.secure:
            self._ssl = ssl or ssl_module.create_default_context()
        elif ssl is not None:
            raise ValueError("ssl is for URLs that begin with https://")
        self._lock = threading.Lock()
        self._keeping = False
        self._sock: socket.socket | None = None
        self._akeeping = False
        self._idle: (
            tuple[asyncio.AbstractEventLoop, asyncio.StreamReader, asyncio.StreamWriter] | None
        ) = None
        _publishers.add(self)

    def forked(self) -> None:
        """Begin anew in a child process: what its parent has is not for it.

        Connections first of all, whose next answers are the parent's; and the lock, which a thread
        may hold that the child hasn't.
        """
        self._lock = threading.Lock()
        sock, self._sock = self._sock, None
        if sock is not None:
            os.close(sock.detach())
        self._idle = None

    # -- blocking

    def publish(self, topic: str, message: DataLike) -> int:
        """Publish a message and wait until it is.

        Args:
            topic: a name, without wildcards.
            message: :class:`str` for a text message, bytes-like for a binary one.

        Returns:
            Its position in the topic.

        Raises:
            PublishError: If it was refused, or the answer did not come; in the latter case nobody
                knows whether it was published.
            OSError: If the server can't be reached; nothing was published then.
            TimeoutError: If that takes longer than ``timeout``.
        """
        return self.publish_many([(topic, message)])[0]

    def publish_many(self, messages: Iterable[tuple[str, DataLike]]) -> list[int]:
        """Publish messages in one request, in order; all of them are checked before the first.

        Args:
            messages: pairs of topic and message.

        Returns:
            Their positions.

        Raises:
            PublishError: As by :meth:`publish`.
            OSError: As by :meth:`publish`.
            TimeoutError: As by :meth:`publish`.
        """
        request = self._post.request(messages)
        with self._lock:
            sock = self._connected()
            try:
                response, keep = self._exchange(sock, request)
            except BaseException:
                sock.close()
                raise
            if keep and self._keeping:
                self._sock = sock
            else:
                sock.close()
        return self._post.positions(response)

    def _connected(self) -> socket.socket:
        """Take the idle connection if it is still there, else make a new one."""
        sock, self._sock = self._sock, None
        if sock is not None:
            if not select.select([sock], [], [], 0)[0]:
                return sock
            # Whatever can be read now is the end of it.
            sock.close()
        address = (self._post.host, self._post.port)
        plain = socket.create_connection(address, timeout=self._timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._ssl is None:
            return plain
        try:
            return self._ssl.wrap_socket(plain, server_hostname=self._post.host)
        except BaseException:
            plain.close()
            raise

    def _exchange(self, sock: socket.socket, request: bytes) -> tuple[Response, bool]:
        sock.settimeout(self._timeout)
        sock.sendall(request)
        parser = ResponseParser()
        response = None
        while response is None:
            try:
                data = sock.recv(CHUNK)
            except TimeoutError:
                raise
            except OSError as exc:
                raise PublishError(_UNKNOWN) from exc
            response = _read(parser, data)
        return response, _keeps(parser, response)

    def __enter__(self) -> Self:
        self._keeping = True
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._keeping = False
            sock, self._sock = self._sock, None
            if sock is not None:
                sock.close()

    # -- asyncio

    async def apublish(self, topic: str, message: DataLike) -> int:
        """Publish a message as :meth:`publish` does, on asyncio."""
        return (await self.apublish_many([(topic, message)]))[0]

    async def apublish_many(self, messages: Iterable[tuple[str, DataLike]]) -> list[int]:
        """Publish messages as :meth:`publish_many` does, on asyncio."""
        request = self._post.request(messages)
        async with asyncio.timeout(self._timeout):
            reader, writer = await self._aconnected()
            try:
                writer.write(request)
                parser = ResponseParser()
                response = None
                while response is None:
                    try:
                        data = await reader.read(CHUNK)
                    except ConnectionError as exc:
                        raise PublishError(_UNKNOWN) from exc
                    response = _read(parser, data)
            except BaseException:
                writer.transport.abort()
                raise
        if _keeps(parser, response) and self._akeeping and self._idle is None:
            self._idle = asyncio.get_running_loop(), reader, writer
        else:
            await _close(writer)
        return self._post.positions(response)

    async def _aconnected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        idle, self._idle = self._idle, None
        if idle is not None:
            loop, reader, writer = idle
            if loop is asyncio.get_running_loop():
                if not reader.at_eof() and reader.exception() is None:
                    return reader, writer
                await _close(writer)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(writer.transport.abort)
        return await asyncio.open_connection(
            self._post.host,
            self._post.port,
            ssl=self._ssl,
            server_hostname=self._post.host if self._ssl else None,
        )

    async def __aenter__(self) -> Self:
        self._akeeping = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._akeeping = False
        idle, self._idle = self._idle, None
        if idle is not None and idle[0] is asyncio.get_running_loop():
            await _close(idle[2])


# Those that a child process has to tell.
_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()


def _forked() -> None:
    for publisher in list(_publishers):
        publisher.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

_UNKNOWN = "the connection ended before the answer: not known whether it was published"


def _read(parser: ResponseParser, data: bytes) -> Response | None:
    """Read a part of the answer, ``b""`` being its end."""
    try:
        return parser.feed(data) if data else parser.feed_eof()
    except EOFError:
        raise PublishError(_UNKNOWN) from None
    except Exception as exc:
        raise PublishError(f"what answers there is no endpoint for publishing: {exc}") from exc


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
