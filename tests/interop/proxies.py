"""nginx and HAProxy in front of a server: each a process and a configuration of its own.

They run in the foreground as whoever runs the tests, with everything they write in a folder of the
test, and are gone afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from .peer import PATIENCE

Server = Callable[[Path, str, int], "contextlib.AbstractAsyncContextManager[int]"]

_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{http}
}}
"""

_HAPROXY = """\
global
    maxconn 200
{text}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def nginx(folder: Path, http: str, port: int) -> AsyncIterator[int]:
    """Run nginx; gives the port it listens on.

    Args:
        folder: Where it may write.
        http: What stands in ``http {…}``.
        port: Where that listens.
    """
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, http=http))
    command = ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    async with _running(command, port):
        yield port


@contextlib.asynccontextmanager
async def haproxy(folder: Path, text: str, port: int) -> AsyncIterator[int]:
    """Run HAProxy; gives the port it listens on.

    Args:
        folder: Where its configuration is put.
        text: The configuration after ``global``.
        port: Where that listens.
    """
    config = folder / "haproxy.cfg"
    config.write_text(_HAPROXY.format(text=text))
    async with _running(["haproxy", "-db", "-f", str(config)], port):
        yield port


@contextlib.asynccontextmanager
async def _running(command: list[str], port: int) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = asyncio.ensure_future(process.stderr.read())
    try:
        await _listening(process, port, said)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await said


async def _listening(
    process: asyncio.subprocess.Process, port: int, said: asyncio.Future[bytes]
) -> None:
    async with asyncio.timeout(PATIENCE):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            writer.close()
            await writer.wait_closed()
            return
        raise AssertionError(f"it ended with {process.returncode}: {(await said).decode()}")
