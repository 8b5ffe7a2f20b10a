"""Ways to a server: options, bounds, engines, and what a failure says of where it was."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trustme

from duologue import (
    InvalidMessage,
    InvalidProxy,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    Limits,
    connect,
    serve,
    unix_connect,
    unix_serve,
)
from duologue.net import dialling
from duologue.proxy import Proxy, parse_proxy
from duologue.testing import SimulatedNetwork

engines = pytest.mark.parametrize("engine", ["auto", "asyncio"])


async def echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


def port_of(server: Any) -> int:
    return int(server.sockets[0].getsockname()[1])


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.asynccontextmanager
async def proxy(
    answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n",
    *,
    port: int | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[str, list[str]]]:
    """An HTTP proxy whose tunnels all lead to ``port``, nowhere without one."""
    asked: list[str] = []
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
        writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0])
            if port is not None:
                there_reader, there = await asyncio.open_connection("127.0.0.1", port)
                for each in (writer, there):
                    for size in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                        each.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, size, 65536)
            writer.write(answer)
            if port is None:
                await reader.read()
                return
            try:
                await asyncio.gather(copy(reader, there), copy(there_reader, writer))
            finally:
                there.transport.abort()
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port_of(server)}", asked
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()


# -- options


@pytest.mark.parametrize("wrong", [False, 1, ["http://proxy"], b"http://proxy"])
def test_what_proxy_can_not_be(wrong: Any) -> None:
    with pytest.raises(TypeError, match="proxy must be True, None or the address of one"):
        connect("ws://x.test/", proxy=wrong)


def test_addresses_are_judged_at_once() -> None:
    with pytest.raises(InvalidProxy, match="scheme ftp"):
        connect("ws://x.test/", proxy="ftp://proxy")


@pytest.mark.parametrize(
    "proxy", ["http://me:secret@proxy/path", "ftp://me:secret@proxy", "http://me:secret@proxy:x"]
)
def test_passwords_are_not_shown(proxy: str) -> None:
    with pytest.raises(InvalidProxy) as invalid:
        parse_proxy(proxy)
    assert "secret" not in f"{invalid.value} {invalid.value.proxy}"
    assert "me:***@proxy" in str(invalid.value)


def test_credentials_that_are_no_text() -> None:
    with pytest.raises(InvalidProxy, match="utf-8"):
        parse_proxy("http://me:%ff@proxy")


def test_ports_of_socks() -> None:
    """IANA's; websockets takes that of HTTP."""
    assert parse_proxy("socks5://proxy").port == 1080
    assert str(Proxy("socks5h", "::1", 1080, "me", "secret")) == "socks5h://[::1]:1080"


@pytest.mark.parametrize(
    "options",
    [
        {"proxy": "http://proxy", "proxy_ssl": True},
        {"proxy": "socks5://proxy", "proxy_server_hostname": "x"},
        {"proxy": "https://proxy", "proxy_ssl": None},
        {"proxy": "https://proxy", "proxy_ssl": False},
    ],
)
def test_tls_that_a_proxy_can_not_have(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="incompatible"):
        connect("ws://x.test/", **options)


def test_unknown_options_for_a_proxy() -> None:
    with pytest.raises(TypeError, match="proxy_colour"):
        connect("ws://x.test/", proxy_colour="red")


async def test_a_given_connection_goes_through_no_proxy() -> None:
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="incompatible with a preexisting socket"):
            connect("ws://x.test/", sock=sock, proxy="http://proxy")
    with pytest.raises(ValueError, match="incompatible"):
        unix_connect("/nowhere", proxy="http://proxy")


@engines
async def test_unix_sockets_go_through_no_proxy(
    engine: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ws_proxy", "http://127.0.0.1:9")
    path = str(tmp_path / "s")
    async with unix_serve(echo, path):
        async with unix_connect(path, engine=engine) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"


@engines
async def test_options_for_a_proxy_without_one(engine: Any) -> None:
    """They are for the case that the system has one."""
    async with serve(echo, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{port_of(server)}/"
        async with connect(uri, engine=engine, proxy_ssl=ssl.create_default_context()):
            pass


@engines
async def test_options_of_the_connection_are_for_that_to_the_proxy(engine: Any) -> None:
    async with serve(echo, "127.0.0.1", 0) as server, proxy(port=port_of(server)) as (url, asked):
        options = {"local_addr": ("127.0.0.2", 0), "family": socket.AF_INET}
        async with connect("ws://x.test/", proxy=url, engine=engine, **options) as ws:
            assert ws.local_address[0] == "127.0.0.2"
            assert ws.remote_address == ("127.0.0.1", int(url.rpartition(":")[2]))
    assert asked == ["CONNECT x.test:80 HTTP/1.1"]


@engines
async def test_host_and_port_are_where_the_tunnel_leads(engine: Any) -> None:
    async with serve(echo, "127.0.0.1", 0) as server, proxy(port=port_of(server)) as (url, asked):
        options = {"host": "inner.test", "port": 81}
        async with connect("ws://x.test/", proxy=url, engine=engine, **options) as ws:
            assert ws.request.headers["Host"] == "x.test"
    assert asked == ["CONNECT inner.test:81 HTTP/1.1"]


@engines
async def test_unknown_options(engine: Any) -> None:
    for options in ({}, {"proxy": "http://127.0.0.1:9"}):
        with pytest.raises(TypeError, match="colour"):
            await connect("ws://127.0.0.1:9/", engine=engine, colour="red", **options)


def test_socks_without_python_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)

    async def attempt() -> None:
        await connect("ws://127.0.0.1:9/", proxy="socks5://127.0.0.1:9")

    with pytest.raises(ImportError, match=r"pip install duologue\[socks\]"):
        asyncio.run(attempt())


# -- the tunnel


@engines
async def test_octets_before_the_server_was_asked(engine: Any) -> None:
    async with proxy(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Surprise\r\n") as (url, _):
        with pytest.raises(InvalidProxyMessage) as failure:
            await connect("ws://x.test/", proxy=url, engine=engine)
    assert "octets after the head" in str(failure.value.__cause__)


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(max_line=100), "max_line"),
        (Limits(max_headers=2), "max_headers"),
        (Limits(max_head=200), "max_head"),
    ],
)
@engines
async def test_limits_of_the_answer(engine: Any, limits: Limits, name: str) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 150 + b"\r\n" + b"Y: y\r\n" * 10 + b"\r\n"
    async with proxy(answer) as (url, _):
        with pytest.raises(InvalidProxyMessage) as failure:
            await connect("ws://x.test/", proxy=url, engine=engine, limits=limits)
    assert name in str(failure.value.__cause__)


@engines
async def test_a_tunnel_for_each_redirect(engine: Any) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        if request.path != "/":
            return None
        response = connection.respond(302, "elsewhere\n")
        response.headers["Location"] = "ws://two.test:81/there"
        return response

    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        proxy(port=port_of(server)) as (url, asked),
    ):
        async with connect("ws://one.test/", proxy=url, engine=engine) as ws:
            assert ws.request.path == "/there"
    assert asked == ["CONNECT one.test:80 HTTP/1.1", "CONNECT two.test:81 HTTP/1.1"]


@engines
async def test_a_server_that_speaks_first_and_ends(engine: Any) -> None:
    """Its octets come with the end of the stream, and none is lost."""

    async def handler(connection: Any) -> None:
        await connection.send("x" * 100_000)
        await connection.close()

    async with serve(handler, "127.0.0.1", 0) as server, proxy(port=port_of(server)) as (url, _):
        async with connect("ws://x.test/", proxy=url, engine=engine) as ws:
            assert [len(message) async for message in ws] == [100_000]


@engines
async def test_giving_up_closes_the_connection_to_the_proxy(engine: Any) -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(1000):
                pass
        ended.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        with pytest.raises(TimeoutError) as late:
            await connect(
                "ws://x.test/",
                proxy=f"http://127.0.0.1:{port_of(server)}",
                engine=engine,
                open_timeout=0.1,
            )
        await asyncio.wait_for(ended.wait(), 5)
    where = f"through the proxy http://127.0.0.1:{port_of(server)}" if server.sockets else ""
    assert late.value.__notes__[0].startswith("while asking for a tunnel to x.test:80 through")
    assert where in late.value.__notes__[0]


def test_over_a_network_of_its_own() -> None:
    """A loop that connects in its own way is left to it, also to reach a proxy."""
    network = SimulatedNetwork()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Not today\r\n\r\n")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, "proxy.test", 3128)
        with pytest.raises(InvalidProxyStatus):
            await connect("ws://server.test/", proxy="http://proxy.test:3128")
        server.close()

    with asyncio.Runner(loop_factory=network.loop_factory) as runner:
        runner.run(main())


# -- what a failure says


async def note_of(uri: str, **options: Any) -> tuple[BaseException, str]:
    with pytest.raises(Exception) as failure:
        await connect(uri, **options)
    (note,) = failure.value.__notes__
    return failure.value, note


@engines
async def test_where_a_failure_was(
    engine: Any, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, note = await note_of(f"ws://127.0.0.1:{free_port}/", engine=engine)
    assert note == f"while connecting to 127.0.0.1:{free_port}"

    exc, note = await note_of("ws://nowhere.invalid/", engine=engine)
    assert isinstance(exc, socket.gaierror)
    assert "nowhere.invalid" in str(exc)
    assert note == "while connecting to nowhere.invalid:80"

    gone = f"http://127.0.0.1:{free_port}"
    _, note = await note_of("wss://x.test/", proxy=gone, engine=engine)
    assert note == f"while connecting to the proxy {gone} on the way to x.test:443"

    gone = f"socks5://127.0.0.1:{free_port}"
    _, note = await note_of("ws://x.test/", proxy=gone, engine=engine)
    assert note == f"while connecting to x.test:80 through the proxy {gone}"

    async with proxy(b"HTTP/1.1 403 No\r\n\r\n") as (url, _):
        secret = url.replace("//", "//me:secret@")
        _, note = await note_of("ws://x.test/", proxy=secret, engine=engine)
        assert note == f"while asking for a tunnel to x.test:80 through the proxy {url}"

        monkeypatch.setenv("ws_proxy", url)
        _, note = await note_of("ws://x.test/", engine=engine)
        assert note == (
            f"while asking for a tunnel to x.test:80 through the proxy {url} "
            "that the system is configured to use"
        )
    monkeypatch.setenv("ws_proxy", "proxy")
    exc, note = await note_of("ws://x.test/", engine=engine)
    assert isinstance(exc, InvalidProxy)
    assert note == (
        "while connecting to x.test:80 through the proxy that the system is configured to use"
    )


@engines
async def test_time_outs_of_the_system_are_its_own(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sock_connect(sock: socket.socket, address: Any) -> None:
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", sock_connect)
    exc, note = await note_of("ws://127.0.0.1:9/", engine=engine)
    assert str(exc) == "[Errno 110] Connection timed out"
    assert note == "while connecting to 127.0.0.1:9"


@engines
async def test_where_a_refusal_of_the_server_was(engine: Any) -> None:
    def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(404, "no\n")

    async with serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
        here = f"127.0.0.1:{port_of(server)}"
        exc, note = await note_of(f"ws://{here}/", engine=engine)
        assert isinstance(exc, InvalidStatus)
        assert note == f"while doing the opening handshake with {here}"
        async with proxy(port=port_of(server)) as (url, _):
            exc, note = await note_of("ws://x.test/", proxy=url, engine=engine)
            assert isinstance(exc, InvalidStatus)
            assert (
                note == f"while doing the opening handshake with x.test:80 through the proxy {url}"
            )


# -- several addresses


@engines
async def test_happy_eyeballs(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that doesn't answer holds the others up for a quarter of a second only."""
    loop = asyncio.get_running_loop()
    tried: list[tuple[str, float]] = []
    really = loop.sock_connect

    async def sock_connect(sock: socket.socket, address: Any) -> None:
        tried.append((address[0], loop.time()))
        if address[0] == "fd00::1":
            await asyncio.sleep(3600)
        await really(sock, address)

    async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        assert host == "many.test"
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::1", port, 0, 0)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::2", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    async with serve(echo, "127.0.0.1", 0) as server:
        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        uri = f"ws://many.test:{port_of(server)}/"
        async with connect(uri, engine=engine) as ws:
            assert ws.remote_address[0] == "127.0.0.1"
        # Families take turns.
        assert [name for name, _ in tried] == ["fd00::1", "127.0.0.1"]
        assert 0.2 < tried[1][1] - tried[0][1] < 2
        tried.clear()
        async with connect(uri, engine=engine, happy_eyeballs_delay=0.01, interleave=1):
            pass
        assert tried[1][1] - tried[0][1] < 0.2
        tried.clear()
        with pytest.raises(TimeoutError):
            await connect(uri, engine=engine, happy_eyeballs_delay=None, open_timeout=0.5)
        assert [name for name, _ in tried] == ["fd00::1"]


@pytest.mark.parametrize(
    ("host", "family", "found"),
    [
        ("127.0.0.1", 0, [(socket.AF_INET, ("127.0.0.1", 80))]),
        ("127.0.0.1", socket.AF_INET, [(socket.AF_INET, ("127.0.0.1", 80))]),
        ("127.0.0.1", socket.AF_INET6, []),
        ("::1", 0, [(socket.AF_INET6, ("::1", 80, 0, 0))]),
        ("fe80::1%lo", 0, []),
        ("127.1", 0, []),
        ("localhost", 0, []),
        ("a\0b", 0, []),
    ],
)
def test_addresses_need_no_resolver(host: str, family: int, found: list[Any]) -> None:
    addresses = dialling._literal(host, 80, family, 0)
    assert [(each[0], each[4]) for each in addresses] == found
    if found:
        assert socket.getaddrinfo(host, 80, family, socket.SOCK_STREAM)[0] == addresses[0]
    assert dialling._literal(host, 80, family, socket.IPPROTO_UDP) == []


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def mutual(authority: trustme.CA) -> Callable[[], tuple[ssl.SSLContext, ssl.SSLContext]]:
    """Contexts of a server that asks for certificates, and of a client without one."""

    def make() -> tuple[ssl.SSLContext, ssl.SSLContext]:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "x.test").configure_cert(server)
        authority.configure_trust(server)
        server.verify_mode = ssl.CERT_REQUIRED
        client = ssl.create_default_context()
        authority.configure_trust(client)
        return server, client

    return make


@engines
@pytest.mark.parametrize("through", ["directly", "http", "https"])
async def test_client_certificates(
    engine: Any, through: str, mutual: Any, authority: trustme.CA
) -> None:
    server_context, client_context = mutual()
    authority.issue_cert("robot@example.com", common_name="robot").configure_cert(client_context)
    names: list[Any] = []

    async def handler(connection: Any) -> None:
        certificate = connection.transport.get_extra_info("peercert")
        names.append(dict(item[0] for item in certificate["subject"])["commonName"])
        await connection.send("welcome")

    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(handler, "127.0.0.1", 0, ssl=server_context))
        options: dict[str, Any] = {"ssl": client_context, "engine": engine}
        uri = f"wss://127.0.0.1:{port_of(server)}/"
        if through != "directly":
            # The proxy wants no certificate, and gets none.
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(tls)
            tls = tls if through == "https" else None  # type: ignore[assignment]
            url, _ = await stack.enter_async_context(proxy(port=port_of(server), tls=tls))
            trusting = ssl.create_default_context()
            authority.configure_trust(trusting)
            options["proxy"] = url
            if through == "https":
                options["proxy_ssl"] = trusting
        async with connect(uri, **options) as ws:
            assert await ws.recv() == "welcome"
    assert names == ["robot"]


@engines
async def test_no_client_certificate(engine: Any, mutual: Any) -> None:
    server_context, client_context = mutual()
    async with serve(echo, "127.0.0.1", 0, ssl=server_context) as server:
        uri = f"wss://127.0.0.1:{port_of(server)}/"
        # TLS 1.3 refuses when the client's part of the handshake is done.
        with pytest.raises(InvalidMessage) as refused:
            await connect(uri, ssl=client_context, engine=engine)
    assert isinstance(refused.value.__cause__, ssl.SSLError)
    assert refused.value.__cause__.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"


@engines
async def test_ssl_true(
    engine: Any, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default context is made anew, and trusts what the system does."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with serve(echo, "127.0.0.1", 0, ssl=tls) as server:
        uri = f"wss://127.0.0.1:{port_of(server)}/"
        for options in ({}, {"ssl": True}):
            exc, note = await note_of(uri, engine=engine, **options)
            assert isinstance(exc, ssl.SSLCertVerificationError)
            assert note == f"while doing the TLS handshake with 127.0.0.1:{port_of(server)}"
        async with proxy(port=port_of(server), tls=tls) as (url, _):
            here = f"127.0.0.1:{port_of(server)}"
            _, note = await note_of(uri, engine=engine, proxy=url)
            assert (
                note == f"while doing the TLS handshake with the proxy {url} on the way to {here}"
            )
            trusting = ssl.create_default_context()
            authority.configure_trust(trusting)
            _, note = await note_of(uri, engine=engine, proxy=url, proxy_ssl=trusting)
            assert note == f"while doing the TLS handshake with {here} through the proxy {url}"
        with authority.cert_pem.tempfile() as path:
            monkeypatch.setenv("SSL_CERT_FILE", path)
            for options in ({}, {"ssl": True}):
                async with connect(uri, engine=engine, **options) as ws:
                    await ws.send("hello")
                    assert await ws.recv() == "hello"


@engines
async def test_much_through_tls_inside_tls(engine: Any, authority: trustme.CA) -> None:
    """Both ways at once, with an end that reads late: waiting is bounded, and nothing is lost."""
    contexts = []
    for _ in range(2):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        contexts.append(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    messages = [bytes([index]) * 300_000 for index in range(60)]

    async def late(connection: Any) -> None:
        async def send() -> None:
            for message in messages:
                await connection.send(message)

        sending = asyncio.create_task(send())
        await asyncio.sleep(0.5)
        received = [await connection.recv() for _ in messages]
        await sending
        await connection.send("all" if received == messages else "not all")

    options: dict[str, Any] = {"ssl": trusting, "proxy_ssl": trusting, "compression": None}
    async with (
        serve(late, "127.0.0.1", 0, ssl=contexts[0], compression=None) as server,
        proxy(port=port_of(server), tls=contexts[1]) as (url, _),
    ):
        uri = f"wss://127.0.0.1:{port_of(server)}/"
        async with connect(uri, proxy=url, engine=engine, **options) as ws:

            async def send() -> None:
                for message in messages:
                    await ws.send(message)

            sending = asyncio.create_task(send())
            await asyncio.sleep(0.2)
            # Not more than the sockets' buffers hold while nobody reads.
            assert not sending.done()
            assert [await ws.recv() for _ in messages] == messages
            await sending
            assert await ws.recv() == "all"
            assert ws.transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert ws.close_code == 1000
