"""Where it listens, the command line as a process, and what is left when one of them is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from dataclasses import replace

import pytest
import trustme

from duologue import connect, unix_connect
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.options import read
from duologue.frontends.websocketd.serving import CannotListen, open_servers
from duologue.frontends.websocketd.site import Site

COMMAND = (sys.executable, "-m", "duologue", "run")


async def test_unix_socket(running, tmp_path):
    path = str(tmp_path / "socket")
    variables = ("sh", "-c", "echo $REMOTE_ADDR $REMOTE_HOST $REMOTE_PORT.")
    async with running(f"--unixsocket={path}", *variables) as server:
        await server.logged(f"Starting WebSocket server   : unix socket at {path}")
        async with unix_connect(path) as ws:
            assert await ws.recv() == "unix-socket unix-socket ."
    assert not os.path.exists(path)


@pytest.mark.leftovers_allowed  # asyncio's TLS transports need a turn to be gone
async def test_tls(running, tmp_path):
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "both.pem"
    )
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    options = [f"--{name}={tmp_path / 'both.pem'}" for name in ("sslcert", "sslkey")]
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    script = ("sh", "-c", "echo $HTTPS $SERVER_PORT")
    async with running("--ssl", *options, *script) as server:
        async with connect(f"wss://127.0.0.1:{server.port}/", ssl=context, proxy=None) as ws:
            assert await ws.recv() == f"on {server.port}"
    ca = f"--sslca={tmp_path / 'ca.pem'}"
    async with running("--ssl", *options, ca, *script) as server:
        with pytest.raises((OSError, EOFError, Exception)):
            await connect(f"wss://127.0.0.1:{server.port}/", ssl=context, proxy=None)
        authority.issue_cert("me").private_key_and_cert_chain_pem.write_to_path(tmp_path / "me")
        context.load_cert_chain(tmp_path / "me")
        async with connect(f"wss://127.0.0.1:{server.port}/", ssl=context, proxy=None) as ws:
            assert await ws.recv() == f"on {server.port}"


async def test_redirect():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = replace(read([f"--redirport={port}", "--port=8443", "cat"]), port=0)
    lines: list[str] = []
    site = Site(config, Log("access", lines.append))
    async with contextlib.AsyncExitStack() as stack:
        await open_servers(config, site, stack)
        assert f"Starting redirect server   : http://127.0.0.1:{port}/" in lines[-1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /a?b HTTP/1.1\r\nHost: a.example:80\r\nConnection: close\r\n\r\n")
        head = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        assert head.startswith("HTTP/1.1 301 ") and "Location: http://a.example:0/\r\n" in head
        assert "\r\nServer:" not in head
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}"):
            await open_servers(config, site, stack)


async def start(*words):
    """Run the command on a free port; give the process, the port and lines of its log."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *COMMAND, f"--port={port}", *words, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"Starting WebSocket server" not in await process.stdout.readline():
            pass
    return process, port


@pytest.mark.leftovers_allowed
async def test_a_signal_ends_everything(gone):
    process, port = await start("sh", "-c", "trap '' INT TERM; echo $$; sleep 1000 & wait; cat")
    try:
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as ws:
            pid = int(await ws.recv())
            process.send_signal(signal.SIGTERM)
            await ws.wait_closed()
            assert ws.close_code == 1001
        assert await asyncio.wait_for(process.wait(), 30) == 0
        await gone(pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


@pytest.mark.leftovers_allowed
async def test_nothing_is_left_of_a_server_that_was_killed(gone):
    script = "trap '' INT TERM HUP; sleep 1000 & echo $$ $!; while :; do sleep 1; done"
    process, port = await start("sh", "-c", script)
    try:
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as ws:
            pids = map(int, (await ws.recv()).split())
            process.kill()
            await process.wait()
            for pid in pids:
                await gone(pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def run(*words):
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.leftovers_allowed
async def test_exit_codes():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = f"--port={taken.getsockname()[1]}"
        results = await asyncio.gather(
            run(),
            run("--version"),
            run("--odd"),
            run(port, "cat"),
            run("--devconsole", "--staticdir=/tmp", "cat"),
            run("--port=65536", "cat"),
            run("--ssl", "--sslcert=/no/cert", "--sslkey=/no/key", "--port=1", "cat"),
        )
    assert [code for code, _, _ in results] == [1, 0, 2, 3, 4, 3, 3]
    assert results[0][1] == "Command line arguments are missing.\n"
    assert "flag provided but not defined: -odd" in results[2][2]
    assert " | FATAL  | server     |  | Can't start server: listen on 127.0.0.1:" in results[3][1]
    assert "| Serving using application   : " + str(shutil.which("cat")) + " \n" in results[3][1]
    assert "--devconsole cannot be used with --staticdir. Pick one." in results[4][1]
    assert "Can't start server: listen on port 65536: " in results[5][1]
    assert "Can't start server: certificate /no/cert and key /no/key: No such" in results[6][1]


def test_the_command_line_needs_no_posix():
    """Where programs can't be run, the options are read all the same."""
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['fcntl', 'termios', 'duologue.net.pipes']))\n"
        "from duologue.cli.entry import main\n"
        "sys.exit(main(['run', '--version']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("duologue ") and "as websocketd" in done.stdout
