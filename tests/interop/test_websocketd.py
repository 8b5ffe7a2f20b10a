"""``duologue run --strict-compat`` beside Debian's ``websocketd``: one script drives both.

What each answers is compared octet for octet, as far as it isn't theirs alone: dates, ports,
process numbers and the name of the software. What differs on purpose comes at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.needs_websocketd, pytest.mark.leftovers_allowed]

PATIENCE = 30.0
KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
ORIGINAL = ("websocketd",)
OURS = (sys.executable, "-m", "duologue", "run", "--strict-compat")

SCRIPTS = {
    "echo": "exec cat",
    "env": "env | grep -v -e ^REMOTE_PORT= -e ^UNIQUE_ID= -e ^SERVER_SOFTWARE= | sort",
    "lines": r"printf 'one\ntwo\r\n\n\r\nthr\ree\nunfinished'",
    "args": 'echo $# "$@"',
    "fail": "echo before; exit 3",
    "killed": "echo before; kill -KILL $$",
    "errors": "echo oops >&2; echo out",
    "long": "head -c 2000000 /dev/zero | tr '\\0' x; echo",
    "closing": "echo first; exec >&-; exec sleep 1000",
    "closed-input": "exec <&-; echo ready; sleep 0.3; echo done",
}


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes([fin << 7 | opcode]) + size + bytes(4) + payload


def parse_frames(octets: bytes) -> list[tuple[int, bytes]]:
    """Messages and control frames, fragments put together: they say nothing."""
    found: list[tuple[int, bytes]] = []
    pending: tuple[int, bytes] | None = None
    while octets:
        first, length, at = octets[0], octets[1] & 127, 2
        if length > 125:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(octets[2 : 2 + size], "big"), 2 + size
        payload, octets = octets[at : at + length], octets[at + length :]
        opcode = first & 15
        if opcode >= 8:
            found.append((opcode, payload))
            continue
        pending = (opcode, payload) if pending is None else (pending[0], pending[1] + payload)
        if first & 0x80:
            found.append(pending)
            pending = None
    return found


def request(target: str, *headers: str, upgrade: bool = True, method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: a.example:8080"]
    if upgrade:
        lines += ["Upgrade: websocket", "Connection: Upgrade"]
        if not any(line.lower().startswith("sec-websocket-version") for line in headers):
            lines.append("Sec-WebSocket-Version: 13")
        if not any(line.lower().startswith("sec-websocket-key") for line in headers):
            lines.append(f"Sec-WebSocket-Key: {KEY}")
    else:
        lines.append("Connection: close")
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")


async def converse(port: int, head: bytes, *steps: bytes | int) -> dict[str, Any]:
    """Send a request, then frames; a number waits for as many octets. Tell what came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(head)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
            came = b""
            for step in steps if " 101 " in answer.partition("\r\n")[0] else ():
                if isinstance(step, int):
                    came += await reader.readexactly(step)
                else:
                    writer.write(step)
            if answer.startswith("HTTP/1.1 101 "):
                with contextlib.suppress(ConnectionError):
                    came += await reader.read()
            else:
                lengths = [line for line in answer.lower().split("\r\n") if "-length: " in line]
                size = int(lengths[0].split()[1]) if lengths else -1
                came = await (reader.readexactly(size) if lengths else reader.read())
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    status, *lines = answer.rstrip().split("\r\n")
    # Header names are compared without regard to case (RFC 9110 section 5.1).
    pairs = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines}
    for own in ("date", "content-length", "connection"):
        pairs.pop(own, None)
    upgraded = " 101 " in status
    return {
        "status": int(status.split()[1]),
        "headers": pairs,
        "came": parse_frames(came) if upgraded else came,
    }


@contextlib.asynccontextmanager
async def server(
    command: tuple[str, ...], *words: str, lines: list[str] | None = None
) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *command,
        f"--port={port}",
        "--address=127.0.0.1",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield port
    finally:
        process.terminate()
        output, _ = await process.communicate()
        if lines is not None:
            lines += output.decode().splitlines()


def write_scripts(folder: Path) -> None:
    for name, text in SCRIPTS.items():
        script = folder / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    (folder / "plain").write_text("no program\n")
    (folder / "deep").mkdir()
    (folder / "deep" / "echo").symlink_to(folder / "echo")


CLOSE = frame(8, b"\x03\xe8")
IN_DIRECTORY: dict[str, tuple[Any, ...]] = {
    "text": (request("/echo"), frame(1, b"hello"), 7, CLOSE),
    "empty": (request("/echo"), frame(1, b""), 2, CLOSE),
    "several lines": (request("/echo"), frame(1, b"a\nb"), 6, CLOSE),
    "fragments": (request("/echo"), frame(1, b"a", fin=False), frame(0, b"b"), 4, CLOSE),
    "binary in text mode": (request("/echo"), frame(2, b"no "), frame(1, b"end"), 8, CLOSE),
    "ping": (request("/echo"), frame(9, b"knock"), 7, CLOSE),
    "close without code": (request("/echo"), frame(8)),
    "close with a code": (request("/echo"), frame(8, b"\x0f\xa1")),
    "below a script": (request("/deep/echo/more?q"), frame(1, b"x"), 3, CLOSE),
    "environment": (
        request("/env/a%20b/c?d=%20e", "Cookie: a=b", "X-Two: 1", "X-Two: 2", "Origin: http://o.x"),
    ),
    "environment at the top": (request("/env"),),
    "hostile": (
        request("/env/%ff%C3%A9%0Ax", "X-Raw: caf\xe9 () { :;}; $(id)", "X_Under: 1", "X-Empty:"),
    ),
    "hostile query": (request("/env?a=%0A;$(id)&b=%00'`"),),
    "absolute": (request("http://b.example:81/env/x?q"),),
    "no lines lost but the last": (request("/lines"),),
    "no arguments": (request("/args"),),
    "exit status": (request("/fail"),),
    "killed": (request("/killed"),),
    "standard error": (request("/errors"),),
    "long": (request("/long"),),
    "output closed": (request("/closing"),),
    "input closed": (request("/closed-input"), frame(1, b"x")),
    "no program": (request("/plain"),),
    "not found": (request("/none"),),
    "a directory": (request("/deep"),),
    "a directory with slash": (request("/deep/"),),
    "the top": (request("/"),),
    "cleaned": (request("/deep//echo"),),
    "dots": (request("/deep/../echo?q"),),
    "no upgrade": (request("/echo", upgrade=False),),
    "version 8": (request("/echo", "Sec-WebSocket-Version: 8"),),
    "no origin": (request("/echo", "Origin: nonsense"),),
    "null": (request("/echo", "Origin: null"), frame(1, b"x"), 3, CLOSE),
    "any origin": (request("/echo", "Origin: https://b.example"), frame(1, b"x"), 3, CLOSE),
}


async def transcripts(
    conversations: dict[str, tuple[Any, ...]], *words: str
) -> list[dict[str, Any]]:
    """What the original and ours say, conversation by conversation."""
    found = []
    async with server(ORIGINAL, *words) as theirs, server(OURS, *words) as ours:
        for port in (theirs, ours):
            answers = await asyncio.gather(
                *(converse(port, *each) for each in conversations.values())
            )
            found.append(dict(zip(conversations, answers, strict=True)))
    return found


def compare(found: list[dict[str, Any]]) -> None:
    theirs, ours = found
    for name, expected in theirs.items():
        assert ours[name] == expected, name


async def test_scripts_of_a_directory(tmp_path: Path) -> None:
    write_scripts(tmp_path)
    found = await transcripts(IN_DIRECTORY, f"--dir={tmp_path}")
    assert found[0]["text"]["came"] == [(1, b"hello"), (8, b"\x03\xe8")]
    compare(found)


async def test_targets_that_are_none() -> None:
    targets = ("/%zz", "/a%", "*", "a.example")
    conversations = {target: (request(target),) for target in targets}
    for found in await transcripts(conversations, "cat"):
        assert {name: answer["status"] for name, answer in found.items()} == dict.fromkeys(
            targets, 400
        )


async def test_a_command() -> None:
    conversations = {
        "any path": (request("/any/path?q"),),
        "no upgrade": (request("/any", upgrade=False),),
    }
    command = ("sh", "-c", 'echo "$0 $1 $SCRIPT_NAME $PATH_INFO"', "a b", "c")
    compare(await transcripts(conversations, *command))


async def test_binary() -> None:
    conversations = {
        "octets": (request("/"), frame(2, b"\x00\n\xff"), 5, CLOSE),
        "text in binary mode": (request("/"), frame(1, b"a"), 4, CLOSE),
    }
    compare(await transcripts(conversations, "--binary", "cat"))


async def test_origins_and_headers() -> None:
    origins = (
        *("http://a.example:8080", "https://a.example:8080", "http://a.example", "null"),
        *("http://b.example", "https://b.example:444", "http://c.example:81", "http://c.example"),
    )
    conversations: dict[str, tuple[Any, ...]] = {
        origin: (request("/", f"Origin: {origin}"),) for origin in origins
    }
    conversations |= {"none": (request("/"),), "plain": (request("/", upgrade=False),)}
    added = ("--header-ws=x-ws: w", "--header-http=X-Http:  h")
    for options in (
        ("--sameorigin",),
        ("--origin=https://b.example,c.example:81,a.example",),
        ("--sameorigin", "--origin=a.example"),
        (),
    ):
        compare(await transcripts(conversations, *options, *added, "true"))


async def test_files_and_cgi(tmp_path: Path) -> None:
    files, scripts = tmp_path / "files", tmp_path / "scripts"
    (files / "list" / "sub").mkdir(parents=True)
    scripts.mkdir()
    (files / "page.html").write_text("<p>page")
    (files / "notes.txt").write_text("some notes")
    (files / "list" / "a b").write_text("x")
    (files / "start").mkdir()
    (files / "start" / "index.html").write_text("<p>start")
    script = scripts / "t.sh"
    script.write_text("#!/bin/sh\necho Content-Type: text/plain\necho X-It: y\necho\necho body\n")
    script.chmod(0o755)
    script = scripts / "body.sh"
    script.write_text(
        "#!/bin/sh\necho Content-Type: text/plain\necho\nenv | grep -e LENGTH -e TYPE; cat\n"
    )
    script.chmod(0o755)
    targets = (
        *("/page.html", "/notes.txt", "/list", "/list/", "/start/", "/start/index.html", "/none"),
        *("/t.sh", "/t.sh?q", "/t.sh/more", "/%2e%2e/x"),
    )
    conversations: dict[str, tuple[Any, ...]] = {
        target: (request(target, upgrade=False),) for target in targets
    }
    part = request("/notes.txt", "Range: bytes=2-4", upgrade=False)
    conversations["range"] = (part,)
    body = request("/body.sh", "Content-Length: 4", upgrade=False, method="POST") + b"body"
    conversations["body"] = (body,)
    found = await transcripts(conversations, f"--staticdir={files}", f"--cgidir={scripts}")
    # Ours are added; listed in docs/coming-from/websocketd.md.
    for name in ("/page.html", "/notes.txt", "/start/", "range"):
        assert found[1][name]["headers"].pop("etag")
        assert found[1][name]["headers"].pop("x-content-type-options") == "nosniff"
    compare(found)


async def test_too_many() -> None:
    for command in (ORIGINAL, OURS):
        async with server(command, "--maxforks=1", "sh", "-c", "echo; cat") as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request("/"))
            await reader.readuntil(b"\r\n\r\n\x81\x00")
            answer = await converse(port, request("/"))
            assert (answer["status"], answer["came"]) == (429, b"429 Too Many Requests\n")
            writer.close()
            await writer.wait_closed()


def without_numbers(line: str, port: int) -> str:
    """A line of the log without what is never twice the same."""
    line = re.sub(r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4} ", "DATE ", line)
    line = re.sub(r"(id|pid):'\d+'", r"\1:'N'", line)
    return line.replace(f":{port}/", ":PORT/")


async def test_log_lines(tmp_path: Path) -> None:
    found = []
    (tmp_path / "page.html").write_text("page")
    # The original drops what it has not read of stderr when the program ends.
    script = ("sh", "-c", "read x; echo $x oops >&2; echo out; sleep 0.5; exit 3")
    for command in (ORIGINAL, OURS):
        lines: list[str] = []
        options = (f"--staticdir={tmp_path}", "--origin=a.example")
        async with server(command, *options, *script, lines=lines) as port:
            greeting = (frame(1, b"line"), 5)
            await converse(port, request("/a?b", "Origin: http://a.example"), *greeting)
            await converse(port, request("/a", "Origin: http://b.example"))
            await converse(port, request("/page.html", upgrade=False))
            await converse(port, request("/none", upgrade=False))
        found.append([without_numbers(line, port) for line in lines])
    theirs, ours = found
    assert any("| ERROR  | stderr     | url:'http://a.example" in line for line in theirs)
    assert sorted(ours) == sorted(theirs)


async def test_where_ours_differs(tmp_path: Path) -> None:
    """Listed in docs/coming-from/websocketd.md."""
    write_scripts(tmp_path)
    conversations: dict[str, tuple[Any, ...]] = {
        "short key": (request("/echo", "Sec-WebSocket-Key: short"), CLOSE),
        "reason": (request("/echo"), frame(8, b"\x0f\xa1why")),
        "no UTF-8": (request("/echo"), frame(1, b"\xff"), 3, CLOSE),
        "versions": (request("/echo", "Sec-WebSocket-Version: 13, 8"), CLOSE),
        "octets": (request("/echo/\xe9"), CLOSE),
        "folded": (request("/echo", "X: a\r\n b"), CLOSE),
        "long head": (request("/echo", "X: " + "a" * 20_000), CLOSE),
        "HTTP/1.0": (request("/echo").replace(b"HTTP/1.1", b"HTTP/1.0"), CLOSE),
        "NUL": (request("/echo/%00"),),
    }
    theirs, ours = await transcripts(conversations, f"--dir={tmp_path}")
    assert (theirs["short key"]["status"], ours["short key"]["status"]) == (101, 400)
    assert theirs["reason"]["came"] == [(8, b"\x0f\xa1")]
    assert ours["reason"]["came"] == [(8, b"\x0f\xa1why")]
    for name, status in (
        *(("versions", 400), ("octets", 400), ("folded", 400), ("NUL", 400)),
        *(("long head", 431), ("HTTP/1.0", 505)),
    ):
        assert (theirs[name]["status"], ours[name]["status"]) == (101, status), name
    assert theirs["no UTF-8"]["came"][0] == (1, b"\xff")
    assert ours["no UTF-8"]["came"][0][1].startswith(b"\x03\xef")  # 1007
