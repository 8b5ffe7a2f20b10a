"""CGI scripts of ``--cgidir`` (RFC 3875), run once a request.

The request's body is what a script reads, as it comes: one that doesn't read isn't waited for. What
it may write and how long it may take is bounded.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from duologue.datastructures import Headers
from duologue.exceptions import InvalidHeader
from duologue.frontends.websocketd.environment import SOFTWARE, clean, header_variables
from duologue.frontends.websocketd.errors import ErrorLog
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.program import CannotLaunch, Program
from duologue.frontends.websocketd.visit import Visit
from duologue.frontends.websocketd.warden import Warden
from duologue.http11 import Response

__all__ = ["MAX_OUTPUT", "TIMEOUT", "read_output", "run", "variables"]

MAX_OUTPUT: Final = 16 * 1024 * 1024
"""Octets that a script may write."""

TIMEOUT: Final = 60.0
"""Seconds that a script may take."""

_DEFAULT_PATH = "/bin:/usr/bin:/usr/ucb:/usr/bsd:/usr/local/bin"
_STATUS = re.compile(r"([1-5][0-9][0-9])(?: (.*))?", re.ASCII)


def variables(visit: Visit, script: str, given: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of a script, as Go's CGI handler gives it.

    Args:
        visit: The request.
        script: Its path in the file system.
        given: What is passed on of our own environment.
    """
    port = visit.host.rpartition(":")[2]
    result = {
        "SERVER_SOFTWARE": SOFTWARE,
        "SERVER_NAME": visit.host,
        "SERVER_PROTOCOL": visit.request.protocol,
        "HTTP_HOST": visit.host,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": visit.request.method,
        "QUERY_STRING": visit.query,
        "REQUEST_URI": visit.target,
        "PATH_INFO": visit.path,
        "SCRIPT_NAME": "/",
        "SCRIPT_FILENAME": script,
        "SERVER_PORT": port if port.isdigit() else "443" if visit.tls else "80",
        "REMOTE_ADDR": visit.remote_address,
        "REMOTE_HOST": visit.remote_host,
        "REMOTE_PORT": visit.remote_port,
        "PATH": _DEFAULT_PATH,
        **given,
    }
    if visit.tls:
        result["HTTPS"] = "on"
    for name in ("Content-Length", "Content-Type"):
        if name in visit.headers:
            result[name.upper().replace("-", "_")] = visit.headers.get_all(name)[0]
    result |= header_variables(visit)
    return {key: clean(value) for key, value in result.items()}


async def run(
    visit: Visit,
    body: Callable[[], Awaitable[bytes]],
    script: str,
    given: Mapping[str, str],
    log: Log,
    warden: Warden | None,
) -> Response:
    """Runs a script, and returns its answer.

    Args:
        visit: The request.
        body: Reads the next part of its body, empty at the end.
        script: Path of the script.
        given: What is passed on of our own environment.
        log: With what is known of the request.
        warden: Kills the script if we are killed.

    Raises:
        Exception: What ``body`` raises; the script is ended then, it can't know the rest.
    """
    if "Transfer-Encoding" in visit.headers:
        # A script is told the length before it reads, as Go's handler has it.
        text = b"Chunked request bodies are not supported by CGI.\n"
        return Response(400, "Bad Request", Headers(), text)
    try:
        program = Program(
            [script],
            variables(visit, script, given),
            log,
            directory=os.path.dirname(script),
            warden=warden,
        )
    except CannotLaunch as error:
        log("access", "http", f"CGI: {error}")
        return _failure()
    errors = ErrorLog(program.stderr, log)
    feeding = asyncio.create_task(_feed(program, body))
    reading = asyncio.create_task(_read(program))
    try:
        async with asyncio.timeout(TIMEOUT):
            await asyncio.wait([feeding, reading], return_when=asyncio.FIRST_COMPLETED)
            if feeding.done():
                feeding.result()
            return read_output(await reading)
    except TimeoutError:
        log("access", "http", f"CGI: it took more than {TIMEOUT:g} s")
    except ValueError as error:
        log("access", "http", f"CGI: {error}")
    finally:
        feeding.cancel()
        reading.cancel()
        await program.end(errors=errors)
        await errors.drain()
        await asyncio.gather(feeding, reading, return_exceptions=True)
    return _failure()


async def _feed(program: Program, body: Callable[[], Awaitable[bytes]]) -> None:
    while part := await body():
        await program.stdin.write(part)
    program.stdin.close()


async def _read(program: Program) -> bytes:
    parts, size = [], 0
    while octets := await program.stdout.read():
        size += len(octets)
        if size > MAX_OUTPUT:
            raise ValueError(f"it wrote more than {MAX_OUTPUT} bytes")
        parts.append(octets)
    return b"".join(parts)


def _failure() -> Response:
    return Response(500, "Internal Server Error", Headers(), b"")


def read_output(output: bytes) -> Response:
    """Reads what a script wrote: header fields, an empty line, and a body.

    Raises:
        ValueError: If it isn't that.
    """
    found = re.search(rb"\r?\n\r?\n", output)
    if found is None:
        raise ValueError("it wrote no header fields")
    headers = Headers()
    status, reason = 200, "OK"
    for line in output[: found.start()].decode("latin-1").splitlines():
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon:
            raise ValueError(f"it wrote no header field: {line!r}")
        if name.lower() == "status":
            matched = _STATUS.fullmatch(value)
            if matched is None or matched[1] == "101":
                raise ValueError(f"it wrote no status: {value!r}")
            status, reason = int(matched[1]), matched[2] or ""
        elif name.lower() not in ("connection", "transfer-encoding", "content-length"):
            # Where the answer ends is ours to say.
            try:
                headers[name] = value
            except InvalidHeader as error:
                raise ValueError(str(error)) from None
    if "Location" in headers and status == 200:
        status, reason = 302, "Found"
    if "Content-Type" not in headers and status != 302:
        raise ValueError("it wrote no Content-Type")
    return Response(status, reason, headers, output[found.end() :])
