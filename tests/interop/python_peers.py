"""Peers from PyPI, run in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import aiohttp.web
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions

from .peer import Peer

MAX_SIZE = 16 * 1024 * 1024


class _InLoop(Peer):
    """Closes what it opened when the conversation is over."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as self._stack:
            yield

    def _beside(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)

        async def stop() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(stop)


class Websockets(_InLoop):
    """PyPI ``websockets``."""

    name = "websockets"

    async def listen(self, *, subprotocols: Sequence[str], deflate: bool) -> int:
        server = await self._stack.enter_async_context(
            websockets.asyncio.server.serve(
                self._follow,
                "127.0.0.1",
                0,
                subprotocols=list(subprotocols) or None,  # type: ignore[arg-type]
                compression="deflate" if deflate else None,
                max_size=MAX_SIZE,
            )
        )
        return next(iter(server.sockets)).getsockname()[1]  # type: ignore[no-any-return]

    async def connect(self, url: str, *, subprotocols: Sequence[str], deflate: bool) -> None:
        connecting = websockets.asyncio.client.connect(
            url,
            subprotocols=list(subprotocols) or None,  # type: ignore[arg-type]
            compression="deflate" if deflate else None,
            max_size=MAX_SIZE,
        )
        try:
            connection = await connecting
        except websockets.exceptions.InvalidHandshake as error:
            self.report("refused", why=str(error))
        else:
            self._beside(self._follow(connection))

    async def _follow(self, connection: Any) -> None:
        self._connection = connection
        self.report(
            "open",
            path=connection.request.path,
            subprotocol=connection.subprotocol,
            extensions=connection.response.headers.get("Sec-WebSocket-Extensions", ""),
        )
        try:
            async for message in connection:
                self.report("message", data=message)
        except websockets.exceptions.ConnectionClosedError:
            pass
        self.report("closed", code=connection.close_code, reason=connection.close_reason)

    async def send(self, message: str | bytes) -> None:
        await self._connection.send(message)

    async def send_fragments(self, parts: Sequence[str] | Sequence[bytes]) -> None:
        await self._connection.send(parts)

    async def ping(self, data: bytes) -> None:
        await (await self._connection.ping(data))
        self.report("pong", data=data)

    async def close(self, code: int | None, reason: str) -> None:
        # The public method has no way to leave out the code.
        if code is None:
            async with self._connection.send_context():
                self._connection.protocol.send_close()
        else:
            await self._connection.close(code, reason)

    async def drop(self) -> None:
        self._connection.transport.abort()


class Aiohttp(_InLoop):
    """PyPI ``aiohttp``."""

    name = "aiohttp"
    fragments = ()
    closes_empty = False
    mirrors_close = False
    heeds_answer = False

    async def listen(self, *, subprotocols: Sequence[str], deflate: bool) -> int:
        async def answer(request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
            response = aiohttp.web.WebSocketResponse(
                protocols=subprotocols, compress=deflate, autoping=False, max_msg_size=MAX_SIZE
            )
            await response.prepare(request)
            self._tcp = request.transport
            extensions = "permessage-deflate" if response.compress else ""
            await self._follow(response, request.path_qs, response.ws_protocol, extensions)
            return response

        application = aiohttp.web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = aiohttp.web.AppRunner(application)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner.addresses[0][1]  # type: ignore[no-any-return]

    async def connect(self, url: str, *, subprotocols: Sequence[str], deflate: bool) -> None:
        session = await self._stack.enter_async_context(aiohttp.ClientSession())
        try:
            response = await session.ws_connect(
                url,
                protocols=subprotocols,
                compress=15 if deflate else 0,
                autoping=False,
                max_msg_size=MAX_SIZE,
            )
        except aiohttp.WSServerHandshakeError as error:
            self.report("refused", why=str(error))
            return
        assert response._conn is not None  # there is no public way to the transport
        self._tcp = response._conn.transport
        extensions = "permessage-deflate" if response.compress else ""
        self._beside(self._follow(response, None, response.protocol, extensions))

    async def _follow(
        self, socket: Any, path: str | None, subprotocol: str | None, extensions: str
    ) -> None:
        self._socket = socket
        self._closed_by_us = asyncio.Event()
        self.report("open", path=path, subprotocol=subprotocol, extensions=extensions)
        reason = ""
        while not socket.closed:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.PING:
                await socket.pong(message.data)
            elif message.type is aiohttp.WSMsgType.PONG:
                self.report("pong", data=bytes(message.data))
            elif message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                self.report("message", data=message.data)
            elif message.type is aiohttp.WSMsgType.CLOSE:
                reason = message.extra
            elif message.type is aiohttp.WSMsgType.CLOSING:
                await self._closed_by_us.wait()
        self.report("closed", code=socket.close_code, reason=reason)

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._socket.send_str(message)
        else:
            await self._socket.send_bytes(message)

    async def send_fragments(self, parts: Sequence[str] | Sequence[bytes]) -> None:
        raise NotImplementedError

    async def ping(self, data: bytes) -> None:
        await self._socket.ping(data)

    async def close(self, code: int | None, reason: str) -> None:
        assert code is not None
        await self._socket.close(code=code, message=reason.encode())
        self._closed_by_us.set()

    async def drop(self) -> None:
        assert self._tcp is not None
        self._tcp.abort()
