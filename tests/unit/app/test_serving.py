"""Where applications listen: places, TLS, and proxies in front."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import ssl
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

import duologue
from duologue.app.application import App
from duologue.app.request import Request
from duologue.app.workers.listeners import Listeners
from duologue.net.proxy_protocol import SIGNATURE

from .conftest import Link, head

CA = trustme.CA()


def telling() -> App:
    """An application that tells who asks."""
    app = App(origins="*")

    @app.get("/who")
    async def who(request: Request) -> list[Any]:
        return [request.client, request.scheme, request.host]

    @app.websocket("/who")
    async def who_ws(ws: Any) -> None:
        await ws.send_json(list(ws.remote_address[:2]))

    return app


def issue(directory: Path, name: str = "127.0.0.1") -> dict[str, str]:
    leaf = CA.issue_cert(name)
    leaf.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    leaf.private_key_pem.write_to_path(directory / "key.pem")
    return {
        "ssl_certfile": str(directory / "cert.pem"),
        "ssl_keyfile": str(directory / "key.pem"),
    }


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    return context


async def who(site: Any, *fields: str, before: bytes = b"") -> Any:
    answer = await site.ask("GET", "/who", *fields, before=before)
    return json.loads(answer.body)


# Places


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    async with telling().serving(uds=path):
        for _ in range(2):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(head("GET", "/who", "X-Forwarded-For: 192.0.2.1"))
            answer = await Link(reader, writer).answer()
            # Peers on Unix sockets are trusted unless told otherwise.
            assert json.loads(answer.body)[0] == ["192.0.2.1", 0]
            writer.close()
            await writer.wait_closed()
    assert not os.path.exists(path)


async def test_a_unix_socket_that_is_in_use(tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    async with telling().serving(uds=path):
        for workers in (False, True):
            with pytest.raises(OSError, match="Address already in use"):
                if workers:
                    Listeners.open(2, uds=path)
                else:
                    async with telling().serving(uds=path):
                        pass
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(head("GET", "/who"))
        assert (await Link(reader, writer).answer()).status_code == 200
        writer.close()
        await writer.wait_closed()


async def test_an_inherited_socket() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    async with telling().serving(fd=sock.detach()) as server:
        assert server.sockets[0].getsockname()[1] == port


async def test_sockets_of_systemd(visiting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    monkeypatch.setattr("duologue.app.serving.activated_sockets", lambda: given)
    ports = [sock.getsockname()[1] for sock in given]
    app = telling()
    async with app.serving() as server:
        assert [sock.getsockname()[1] for sock in server.sockets] == ports
        for port in ports:
            async with duologue.connect(f"ws://127.0.0.1:{port}/who"):
                pass


@pytest.mark.parametrize(
    "options",
    [
        {"host": "127.0.0.1", "uds": "/x"},
        {"port": 1, "fd": 3},
        {"uds": "/x", "fd": 3},
        {"ssl_keyfile": "/x"},
        {"ssl_ca_certs": "/x"},
        {"ssl_certfile": "/x", "ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)},
        {"forwarded_allow_ips": "proxy"},
        {"ssl_optional": True},
        {"ssl_optional": True, "ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "engine": "asyncio"},
        {"proxy_protocol": True, "engine": "asyncio"},
        {"proxy_protocol": True, "proxy_allow_ips": "proxy"},
    ],
)
async def test_options_that_contradict_each_other(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"exclude|TLS|neither|engine"):
        async with telling().serving(**options):
            pass


async def test_unknown_options() -> None:
    with pytest.raises(TypeError, match="prot"):
        telling().serving("127.0.0.1", prot=1)


# TLS


async def test_a_port_with_and_without_tls(visiting: Any, tmp_path: Path) -> None:
    options = {**issue(tmp_path), "ssl_optional": True}
    async with visiting(telling(), **options) as site:
        assert (await who(site))[1] == "http"
        async with site.link(ssl=client_context(), server_hostname="127.0.0.1") as link:
            link.write(head("GET", "/who"))
            assert json.loads((await link.answer()).body)[1] == "https"
        async with site.connect("/who") as ws:
            assert (await ws.recv_json())[0] == "127.0.0.1"
        url = f"wss://127.0.0.1:{site.port}/who"
        async with duologue.connect(url, ssl=client_context()) as ws:
            assert (await ws.recv_json())[0] == "127.0.0.1"


async def test_a_port_with_and_without_tls_behind_the_proxy_protocol(
    visiting: Any, tmp_path: Path
) -> None:
    options = {**issue(tmp_path), "ssl_optional": True, "proxy_protocol": True}
    async with visiting(telling(), **options, proxy_headers=False) as site:
        assert (await who(site, before=FIRST))[:2] == [["192.0.2.1", 4711], "http"]
        async with site.link() as link:
            link.write(FIRST)
            await link.writer.start_tls(client_context(), server_hostname="127.0.0.1")
            link.write(head("GET", "/who"))
            answer = json.loads((await link.answer()).body)
        assert answer[:2] == [["192.0.2.1", 4711], "https"]


async def test_tls_and_a_renewed_certificate(visiting: Any, tmp_path: Path) -> None:
    app = telling()
    async with visiting(app, **issue(tmp_path), ssl_reload_interval=0.01) as site:

        async def serial() -> Any:
            async with site.link(ssl=client_context(), server_hostname="127.0.0.1") as link:
                link.write(head("GET", "/who"))
                assert json.loads((await link.answer()).body)[1] == "https"
                return link.writer.get_extra_info("peercert")["serialNumber"]

        before = await serial()
        issue(tmp_path)
        async with asyncio.timeout(20):
            while await serial() == before:
                await asyncio.sleep(0.01)


async def test_certificates_of_clients(visiting: Any, tmp_path: Path) -> None:
    options = issue(tmp_path)
    CA.cert_pem.write_to_path(tmp_path / "ca.pem")
    options["ssl_ca_certs"] = str(tmp_path / "ca.pem")
    context = client_context()
    CA.issue_cert("client.test").configure_cert(context)
    app = telling()
    async with visiting(app, **options) as site:
        async with site.link(ssl=context, server_hostname="127.0.0.1") as link:
            link.write(head("GET", "/who"))
            assert (await link.answer()).status_code == 200
        with pytest.raises((OSError, EOFError)):
            async with site.link(ssl=client_context(), server_hostname="127.0.0.1") as link:
                link.write(head("GET", "/who"))
                await link.answer()
    async with (
        visiting(app, **options, ssl_cert_reqs=ssl.CERT_OPTIONAL) as site,
        site.link(ssl=client_context(), server_hostname="127.0.0.1") as link,
    ):
        link.write(head("GET", "/who"))
        assert (await link.answer()).status_code == 200


async def test_ciphers(visiting: Any, tmp_path: Path) -> None:
    cipher = "ECDHE-ECDSA-AES128-GCM-SHA256"
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM")
    async with (
        visiting(telling(), **issue(tmp_path), ssl_ciphers=cipher) as site,
        site.link(ssl=context, server_hostname="127.0.0.1") as link,
    ):
        assert link.writer.get_extra_info("cipher")[0] == cipher


# Proxies that add headers


async def test_headers_of_trusted_proxies(visiting: Any) -> None:
    fields = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.test")
    believed = [["192.0.2.1", 0], "https", "a.test"]
    async with visiting(telling()) as site:
        assert await who(site, *fields) == believed
    for options in ({"proxy_headers": False}, {"forwarded_allow_ips": "10.0.0.0/8"}):
        async with visiting(telling(), **options) as site:
            client, scheme, host = await who(site, *fields)
            assert (client[0], scheme, host) == ("127.0.0.1", "http", "localhost")


async def test_the_environment_names_proxies(
    visiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1")
    async with visiting(telling()) as site:
        assert (await who(site, "X-Forwarded-For: 192.0.2.1"))[0][0] == "127.0.0.1"


async def test_same_origin_behind_a_proxy(visiting: Any) -> None:
    app = App()
    app.websocket("/")(duologue.Endpoint())
    forwarded = {
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Host": "app.test",
        "X-Forwarded-Proto": "https",
    }
    async with visiting(app) as site:
        async with site.connect(origin="https://app.test", additional_headers=forwarded):
            pass
        with pytest.raises(duologue.InvalidStatus):
            await site.connect(origin="https://app.test")


# The PROXY protocol

FIRST = b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n"
SECOND = (
    SIGNATURE
    + struct.pack("!BBH", 0x21, 0x21, 36)
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
    + struct.pack("!HH", 4711, 443)
)


@pytest.mark.parametrize(
    ("preamble", "client"),
    [(FIRST, ["192.0.2.1", 4711]), (SECOND, ["2001:db8::1", 4711])],
)
async def test_the_proxy_protocol(visiting: Any, preamble: bytes, client: Any) -> None:
    async with visiting(telling(), proxy_protocol=True, proxy_headers=False) as site:
        assert (await who(site, before=preamble))[0] == client
        # In pieces, and the request in the same packet as the last of them.
        async with site.link() as link:
            link.write(preamble[:5])
            await asyncio.sleep(0)
            link.write(preamble[5:] + head("GET", "/who") + head("GET", "/who"))
            for _ in range(2):
                assert json.loads((await link.answer()).body)[0] == client


async def test_connections_tell_the_address_of_the_preamble() -> None:
    async with telling().serving("127.0.0.1", 0, proxy_protocol=True) as server:
        sock = socket.create_connection(server.sockets[0].getsockname())
        sock.sendall(FIRST)
        async with duologue.connect("ws://localhost/who", sock=sock) as ws:
            assert await ws.recv_json() == ["192.0.2.1", 4711]


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        # Who speaks the PROXY protocol passes streams on unread: the client may have written them.
        ("127.0.0.1", [["192.0.2.1", 4711], "http", "localhost"]),
        ("192.0.2.0/24", [["203.0.113.5", 0], "https", "chat.example"]),
    ],
)
async def test_headers_behind_the_proxy_protocol(
    visiting: Any, trusted: str, expected: Any
) -> None:
    fields = (
        "X-Forwarded-For: 203.0.113.5",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: chat.example",
    )
    options = {"proxy_protocol": True, "forwarded_allow_ips": trusted}
    async with visiting(telling(), **options) as site:
        assert await who(site, *fields, before=FIRST) == expected


async def test_tls_that_ended_at_a_proxy(visiting: Any) -> None:
    addresses = SECOND[16:]
    entry = b"\x20\x00\x05\x01\x00\x00\x00\x00"
    preamble = SIGNATURE + struct.pack("!BBH", 0x21, 0x21, 36 + len(entry)) + addresses + entry
    async with visiting(telling(), proxy_protocol=True) as site:
        assert (await who(site, before=preamble))[:2] == [["2001:db8::1", 4711], "https"]
        assert (await who(site, before=SECOND))[:2] == [["2001:db8::1", 4711], "http"]


async def test_the_proxy_protocol_before_tls(visiting: Any, tmp_path: Path) -> None:
    app = telling()
    async with visiting(app, **issue(tmp_path), proxy_protocol=True, proxy_headers=False) as site:
        async with site.link() as link:
            link.write(SECOND)
            await link.writer.start_tls(client_context(), server_hostname="127.0.0.1")
            link.write(head("GET", "/who"))
            answer = json.loads((await link.answer()).body)
        assert answer[:2] == [["2001:db8::1", 4711], "https"]


@pytest.mark.parametrize(
    ("octets", "options", "why"),
    [
        (head("GET", "/who"), {}, "no PROXY protocol preamble"),
        (FIRST + head("GET", "/who"), {"proxy_allow_ips": "10.0.0.1"}, "not among those"),
        (b"PROXY TCP4 x\r\n", {}, "malformed PROXY line"),
    ],
)
async def test_connections_without_a_good_preamble_are_closed(
    visiting: Any, octets: bytes, options: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with visiting(telling(), proxy_protocol=True, **options) as site, site.link() as link:
        link.write(octets)
        with contextlib.suppress(ConnectionResetError):
            assert await link.reader.read() == b""
    assert why in caplog.text


async def test_a_late_preamble(caplog: pytest.LogCaptureFixture) -> None:
    app = App(open_timeout=0.05)
    async with app.serving("127.0.0.1", 0, proxy_protocol=True) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(FIRST[:5])
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
    assert "within 0.05 seconds" in caplog.text


async def test_closing_breaks_off_preambles() -> None:
    async with telling().serving("127.0.0.1", 0, proxy_protocol=True) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(FIRST[:5])
        await writer.drain()
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


# Running

PROGRAM = """
import duologue
app = duologue.App()
@app.websocket("/")
async def talk(ws):
    await ws.send("hello")
    await ws.wait_closed()
app.run("127.0.0.1", 0, log_level="info")
print("ended")
"""


async def test_running_until_a_signal_comes() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b"listening on " not in (line := await process.stderr.readline()):
            assert line
        port = line.rsplit(b":", 1)[1].strip().decode()
        async with duologue.connect(f"ws://127.0.0.1:{port}") as ws:
            assert await ws.recv() == "hello"
            process.send_signal(signal.SIGTERM)
            await ws.wait_closed()
            assert ws.close_code == 1001
        out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"ended\n")


def test_run_leaves_logging_alone_if_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: calls.append(options["level"]))
    monkeypatch.setattr("duologue.app.application.run", lambda main: main.close())
    App().run(log_level=None)
    assert calls == []
    App().run(log_level="debug")
    assert calls == ["DEBUG"]
