"""Connecting through proxies: which one, what it is asked, what its failures are called."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import trustme

from duologue import new_event_loop

from .ends import echo, url
from .library import Library
from .proxies import answering, http_proxy, listening, socks_proxy

pytest.importorskip("python_socks")

#: How the connection is carried: websockets knows one way on each loop, duologue two.
WAYS = {
    "websockets": ("websockets", {}, asyncio.SelectorEventLoop),
    "websockets-uvloop": ("websockets", {}, None),
    "duologue": ("duologue", {}, asyncio.SelectorEventLoop),
    "duologue-asyncio": ("duologue", {"engine": "asyncio"}, asyncio.SelectorEventLoop),
    "duologue-uvloop": ("duologue", {"engine": "asyncio"}, None),
    "duologue-engine-uvloop": ("duologue", {}, None),
    "duologue-loop": ("duologue", {}, new_event_loop),
}


@dataclass
class Way:
    """A library, and the options that say how its client carries connections."""

    lib: Library
    options: dict[str, Any]

    def connect(self, uri: str, **options: Any) -> Any:
        return self.lib.connect(uri, **self.options, **options)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    name, options, _ = WAYS[request.param]
    return Way(Library(name), options)


@pytest.fixture
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if "way" not in request.fixturenames:
        return None
    factory = WAYS[request.node.callspec.params["way"]][2]
    if factory is None:
        return pytest.importorskip("uvloop").new_event_loop  # type: ignore[no-any-return]
    return factory


@dataclass
class Certificates:
    server: ssl.SSLContext
    proxy: ssl.SSLContext
    client: ssl.SSLContext
    trusts_proxy: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    """Contexts of a server, of a proxy, and of clients: each trusts one of the two only."""
    contexts = []
    for _ in range(2):
        authority = trustme.CA()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
        client = ssl.create_default_context()
        authority.configure_trust(client)
        contexts += [server, client]
    yield Certificates(contexts[0], contexts[2], contexts[1], contexts[3])


async def talk(client: Any) -> None:
    """Small and large messages both ways, several at once."""
    for message in ("hello", b"\x00" * 300_000, "x" * 100_000):
        await client.send(message)
        assert await client.recv() == message
    await asyncio.gather(*(client.send(str(index)) for index in range(20)))
    assert [await client.recv() for _ in range(20)] == [str(index) for index in range(20)]


# -- HTTP


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_http_proxy(
    way: Way, certificates: Certificates, scheme: str, proxy_scheme: str
) -> None:
    server_tls = certificates.server if scheme == "wss" else None
    proxy_tls = certificates.proxy if proxy_scheme == "https" else None
    options: dict[str, Any] = {"ssl": certificates.client} if scheme == "wss" else {}
    if proxy_tls is not None:
        options["proxy_ssl"] = certificates.trusts_proxy
    async with (
        way.lib.serve(echo, "127.0.0.1", 0, ssl=server_tls) as server,
        http_proxy(tls=proxy_tls) as proxy,
    ):
        uri = url(server, scheme=scheme)
        async with way.connect(uri, proxy=proxy.url(proxy_scheme), **options) as client:
            await talk(client)
        assert client.close_code == 1000
    target = uri.split("/")[2]
    assert proxy.tunnels == 1
    lines = proxy.asked[0].split("\r\n")
    assert lines[:2] == [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    assert lines[2].startswith("User-Agent: Python/")
    assert lines[3:] == ["", ""]


async def test_server_closes(way: Way, certificates: Certificates) -> None:
    async def handler(connection: Any) -> None:
        await connection.send("last words")
        await connection.close(4000, "enough")

    async with (
        way.lib.serve(handler, "127.0.0.1", 0, ssl=certificates.server) as server,
        http_proxy(tls=certificates.proxy) as proxy,
    ):
        options = {"ssl": certificates.client, "proxy_ssl": certificates.trusts_proxy}
        uri = url(server, scheme="wss")
        async with way.connect(uri, proxy=proxy.url("https"), **options) as client:
            assert await client.recv() == "last words"
            with pytest.raises(way.lib.ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd.code == 4000


async def test_user_agent(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server, http_proxy() as proxy:
        for agent in ("mine/1", None):
            async with lib.connect(url(server), proxy=proxy.url(), user_agent_header=agent):
                pass
    assert "\r\nUser-Agent: mine/1\r\n" in proxy.asked[0]
    assert "User-Agent" not in proxy.asked[1]


async def test_credentials(lib: Library) -> None:
    async with (
        lib.serve(echo, "127.0.0.1", 0) as server,
        http_proxy(credentials=("me", "p@ss:word")) as proxy,
    ):
        async with lib.connect(url(server), proxy=proxy.url(userinfo="me:p%40ss%3Aword@")) as ws:
            # Those are for the proxy: the server doesn't see them.
            assert "Proxy-Authorization" not in ws.request.headers
            assert "Authorization" not in ws.request.headers
        given = base64.b64encode(b"me:p@ss:word").decode()
        assert f"\r\nProxy-Authorization: Basic {given}\r\n" in proxy.asked[0]
        for userinfo in ("", "me:wrong@"):
            with pytest.raises(lib.InvalidProxyStatus) as refused:
                await lib.connect(url(server), proxy=proxy.url(userinfo=userinfo))
            assert refused.value.response.status_code == 407
            assert refused.value.response.headers["Proxy-Authenticate"] == 'Basic realm="test"'
            assert str(refused.value) == "proxy rejected connection: HTTP 407"
    assert proxy.tunnels == 1


async def test_credentials_of_the_server_are_not_for_the_proxy(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server, http_proxy() as proxy:
        uri = url(server).replace("ws://", "ws://me:secret@")
        headers = {"Cookie": "a=b", "X-Other": "c"}
        async with lib.connect(uri, proxy=proxy.url(), additional_headers=headers) as ws:
            assert "Authorization" in ws.request.headers
    for word in ("uthorization", "Cookie", "X-Other"):
        assert word not in proxy.asked[0]


async def test_the_proxy_looks_up_the_name(way: Way) -> None:
    names = {"server.invalid": "127.0.0.1"}
    async with way.lib.serve(echo, "127.0.0.1", 0) as server, http_proxy(names=names) as proxy:
        port = url(server).split(":")[2].rstrip("/")
        async with way.connect(f"ws://server.invalid:{port}/", proxy=proxy.url()) as ws:
            assert ws.request.headers["Host"] == f"server.invalid:{port}"
            await talk(ws)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 299 Strange\r\n\r\n",
        # Framing means nothing here (RFC 9110 section 9.3.6).
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_unusual_success(lib: Library, answer: bytes) -> None:
    if lib.name == "websockets" and answer == b"HTTP/1.1 200\r\n\r\n":
        pytest.skip("websockets wants the space before an absent reason")
    async with lib.serve(echo, "127.0.0.1", 0) as server, http_proxy(answer=answer) as proxy:
        async with lib.connect(url(server), proxy=proxy.url()) as ws:
            await talk(ws)


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("status", [400, 403, 502, 301, 101])
async def test_refusal(way: Way, status: int, close: bool) -> None:
    head = f"HTTP/1.1 {status} No\r\nX-Why: rules\r\nLocation: http://x/\r\n\r\nbody".encode()
    async with answering(head, close=close) as proxy:
        with pytest.raises(way.lib.InvalidProxyStatus) as refused:
            await way.connect("ws://server.invalid/", proxy=proxy.url())
    assert refused.value.response.status_code == status
    assert refused.value.response.headers["X-Why"] == "rules"
    assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
    ids=["nothing", "cut", "ssh", "http2", "no-colon", "long", "many"],
)
async def test_no_http(way: Way, octets: bytes) -> None:
    async with answering(octets, close=True) as proxy:
        with pytest.raises(way.lib.InvalidProxyMessage) as failure:
            await way.connect("ws://server.invalid/", proxy=proxy.url())
    assert str(failure.value) == "did not receive a valid HTTP response from proxy"
    assert failure.value.__cause__ is not None


async def test_silence(way: Way) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n", close=False) as proxy:
        with pytest.raises(TimeoutError, match="timed out during opening handshake"):
            await way.connect("ws://server.invalid/", proxy=proxy.url(), open_timeout=0.1)


async def test_nobody_listens(way: Way) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await way.connect("ws://server.invalid/", proxy=f"http://127.0.0.1:{port}")


async def test_certificate_of_the_proxy(way: Way, certificates: Certificates) -> None:
    async with (
        way.lib.serve(echo, "127.0.0.1", 0) as server,
        http_proxy(tls=certificates.proxy) as proxy,
    ):
        where = proxy.url("https")
        with pytest.raises(ssl.SSLCertVerificationError):
            await way.connect(url(server), proxy=where)
        with pytest.raises(ssl.SSLCertVerificationError):
            await way.connect(
                url(server),
                proxy=where,
                proxy_ssl=certificates.trusts_proxy,
                proxy_server_hostname="other.invalid",
            )
        async with way.connect(
            url(server),
            proxy=where,
            proxy_ssl=certificates.trusts_proxy,
            proxy_server_hostname="localhost",
        ) as ws:
            await talk(ws)
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
async def test_certificate_of_the_server(
    way: Way, certificates: Certificates, proxy_scheme: str
) -> None:
    """The proxy can't read what is for the server, nor stand in for it."""
    broken = sys.version_info < (3, 12, 2) and way.lib.name == "websockets"
    on_asyncio = isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)
    if broken and on_asyncio and proxy_scheme == "https":
        pytest.skip("raises the TypeError of CPython's gh-113214")
    tls = certificates.proxy if proxy_scheme == "https" else None
    options = {"proxy_ssl": certificates.trusts_proxy} if tls is not None else {}
    async with (
        way.lib.serve(echo, "127.0.0.1", 0, ssl=certificates.server) as server,
        http_proxy(tls=tls) as proxy,
    ):
        uri = url(server, scheme="wss")
        with pytest.raises(ssl.SSLCertVerificationError):
            await way.connect(uri, proxy=proxy.url(proxy_scheme), **options)
        with pytest.raises(ssl.SSLCertVerificationError):
            await way.connect(
                uri,
                proxy=proxy.url(proxy_scheme),
                ssl=certificates.client,
                server_hostname="other.invalid",
                **options,
            )
    assert proxy.tunnels == 2


async def test_server_that_ends_during_the_tls_handshake(
    way: Way, certificates: Certificates
) -> None:
    async def hang_up(_: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)

    async with listening(hang_up) as server, http_proxy() as proxy:
        with pytest.raises(OSError):
            await way.connect(
                f"wss://127.0.0.1:{server.port}/", proxy=proxy.url(), ssl=certificates.client
            )


async def test_tls_options_that_the_proxy_can_not_have(lib: Library) -> None:
    with pytest.raises(ValueError, match=r"proxy_ssl.* http://"):
        await lib.connect("ws://x.invalid/", proxy="http://127.0.0.1:1", proxy_ssl=True)
    with pytest.raises(ValueError, match=r"proxy_ssl.* https://"):
        await lib.connect("ws://x.invalid/", proxy="https://127.0.0.1:1", proxy_ssl=None)


# -- SOCKS


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
@pytest.mark.parametrize("secure", [False, True])
async def test_socks(way: Way, certificates: Certificates, scheme: str, secure: bool) -> None:
    tls = certificates.server if secure else None
    options = {"ssl": certificates.client} if secure else {}
    async with way.lib.serve(echo, "127.0.0.1", 0, ssl=tls) as server, socks_proxy() as proxy:
        uri = url(server, scheme="wss" if secure else "ws")
        async with way.connect(uri, proxy=proxy.url(scheme), **options) as ws:
            await talk(ws)
    assert proxy.asked == [("127.0.0.1", int(uri.split(":")[2].rstrip("/")), None)]


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
async def test_socks_proxy_looks_up_the_name(way: Way, scheme: str) -> None:
    names = {"server.invalid": "127.0.0.1"}
    async with way.lib.serve(echo, "127.0.0.1", 0) as server, socks_proxy(names=names) as proxy:
        port = int(url(server).split(":")[2].rstrip("/"))
        async with way.connect(f"ws://server.invalid:{port}/", proxy=proxy.url(scheme)) as ws:
            await talk(ws)
        assert proxy.asked == [("server.invalid", port, None)]
        # The others ask here, where there is no such name.
        with pytest.raises(OSError):
            await way.connect(f"ws://server.invalid:{port}/", proxy=proxy.url(scheme.rstrip("ah")))
        assert len(proxy.asked) == 1


async def test_socks_credentials(way: Way) -> None:
    async with (
        way.lib.serve(echo, "127.0.0.1", 0) as server,
        socks_proxy(credentials=("me", "p@ss")) as proxy,
    ):
        async with way.connect(url(server), proxy=proxy.url("socks5", "me:p%40ss@")) as ws:
            await talk(ws)
        assert [user for _, _, user in proxy.asked] == ["me"]
        for userinfo in ("", "me:wrong@"):
            with pytest.raises(way.lib.ProxyError, match="failed to connect to SOCKS proxy"):
                await way.connect(url(server), proxy=proxy.url("socks5", userinfo))
    assert proxy.tunnels == 1


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
async def test_socks_refusal(way: Way, scheme: str) -> None:
    async with socks_proxy(reply=5 if scheme == "socks5" else 91) as proxy:
        with pytest.raises(way.lib.ProxyError) as refused:
            await way.connect("ws://127.0.0.1:9/", proxy=proxy.url(scheme))
    assert refused.value.__cause__ is not None


async def test_socks_that_is_none(way: Way) -> None:
    async def wrong(_: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with listening(wrong) as proxy:
        with pytest.raises(way.lib.ProxyError):
            await way.connect("ws://127.0.0.1:9/", proxy=proxy.url("socks5"))


async def test_socks_nobody_listens(way: Way) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OSError):
        await way.connect("ws://127.0.0.1:9/", proxy=f"socks5://127.0.0.1:{port}")


async def test_socks_silence(way: Way) -> None:
    async def silent(_: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(100):
            pass

    async with listening(silent) as proxy:
        with pytest.raises(TimeoutError, match="timed out during opening handshake"):
            await way.connect("ws://127.0.0.1:9/", proxy=proxy.url("socks5"), open_timeout=0.1)


# -- from the environment

ALL = {
    "ws_proxy": "http://ws:1",
    "wss_proxy": "http://wss:1",
    "socks_proxy": "http://socks:1",
    "https_proxy": "http://https:1",
    "http_proxy": "http://http:1",
}


@pytest.mark.parametrize(
    ("scheme", "order"),
    [
        ("wss", ["http://wss:1", "socks5h://socks:1", "http://https:1", None]),
        ("ws", ["http://ws:1", "socks5h://socks:1", "http://https:1", "http://http:1", None]),
    ],
)
def test_order(
    lib: Library, monkeypatch: pytest.MonkeyPatch, scheme: str, order: list[str | None]
) -> None:
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    uri = lib.parse_uri(f"{scheme}://example.com/")
    found = []
    for name in (f"{scheme}_proxy", "socks_proxy", "https_proxy", "http_proxy", "ws_proxy"):
        chosen = lib.get_proxy(uri)
        if chosen not in found:
            found.append(chosen)
        monkeypatch.delenv(name, raising=False)
    if lib.get_proxy(uri) not in found:
        found.append(lib.get_proxy(uri))
    assert found == order


def test_upper_case(lib: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = lib.parse_uri("wss://example.com/")
    monkeypatch.setenv("HTTPS_PROXY", "http://upper:1")
    assert lib.get_proxy(uri) == "http://upper:1"
    monkeypatch.setenv("https_proxy", "http://lower:1")
    assert lib.get_proxy(uri) == "http://lower:1"
    monkeypatch.setenv("https_proxy", "")
    assert lib.get_proxy(uri) is None


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize(
    ("exceptions", "uri", "proxied"),
    [
        ("example.com", "ws://example.com/", False),
        ("example.com", "ws://EXAMPLE.com:81/", False),
        ("example.com", "ws://sub.example.com/", False),
        (".example.com", "ws://sub.example.com/", False),
        ("example.com", "ws://notexample.com/", True),
        ("example.com:81", "ws://example.com/", True),
        ("example.com:81", "ws://example.com:81/", False),
        ("other.com, example.com", "ws://example.com/", False),
        ("*", "wss://example.com/", False),
        ("127.0.0.1", "ws://127.0.0.1/", False),
        ("127.0.0.0/8", "ws://127.0.0.1/", True),
        ("::1", "ws://[::1]:8080/", False),
    ],
)
def test_exceptions(
    lib: Library,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    exceptions: str,
    uri: str,
    proxied: bool,
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:1")
    monkeypatch.setenv(name, exceptions)
    assert (lib.get_proxy(lib.parse_uri(uri)) is not None) == proxied


async def test_environment(lib: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server, http_proxy() as proxy:
        monkeypatch.setenv("ws_proxy", proxy.url())
        async with lib.connect(url(server)) as ws:
            await talk(ws)
        assert proxy.tunnels == 1
        async with lib.connect(url(server), proxy=True) as ws:
            await talk(ws)
        assert proxy.tunnels == 2
        # Not asked when there is none to be used, when the host is excepted, or already connected.
        async with lib.connect(url(server), proxy=None) as ws:
            await talk(ws)
        host, port = server.sockets[0].getsockname()
        async with lib.connect(url(server), sock=socket.create_connection((host, port))) as ws:
            await talk(ws)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with lib.connect(url(server)) as ws:
            await talk(ws)
        assert proxy.tunnels == 2


async def test_environment_with_something_else(
    lib: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ws_proxy", "gopher://proxy:70")
    with pytest.raises(lib.InvalidProxy, match="gopher"):
        await lib.connect("ws://127.0.0.1:9/")


# -- addresses


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("http://proxy:8080", ("http", "proxy", 8080, None, None)),
        ("http://proxy", ("http", "proxy", 80, None, None)),
        ("https://proxy/", ("https", "proxy", 443, None, None)),
        ("HTTP://Proxy:1", ("http", "proxy", 1, None, None)),
        ("socks5h://proxy:1", ("socks5h", "proxy", 1, None, None)),
        ("socks5://proxy:1", ("socks5", "proxy", 1, None, None)),
        ("socks4a://proxy:1", ("socks4a", "proxy", 1, None, None)),
        ("socks4://proxy:1", ("socks4", "proxy", 1, None, None)),
        ("http://[::1]:3128", ("http", "::1", 3128, None, None)),
        ("http://us%65r:p%40ss@proxy:1", ("http", "proxy", 1, "user", "p@ss")),
        ("http://:@proxy:1", ("http", "proxy", 1, "", "")),
        ("http://höst:1", ("http", "xn--hst-sna", 1, None, None)),
    ],
)
def test_parse_proxy(lib: Library, proxy: str, expected: tuple[Any, ...]) -> None:
    parsed = lib.parse_proxy(proxy)
    found = (parsed.scheme, parsed.host, parsed.port, parsed.username, parsed.password)
    assert found == expected
    assert parsed.user_info == (None if expected[3] is None else expected[3:])
    assert parsed == lib.Proxy(*expected)


@pytest.mark.parametrize(
    ("proxy", "why"),
    [
        ("ws://proxy:1", "scheme ws isn't supported"),
        ("proxy:1", "scheme proxy isn't supported"),
        ("http:///", "hostname isn't provided"),
        ("http://proxy:1/path", "path is meaningless"),
        ("http://proxy:1?query", "query is meaningless"),
        ("http://proxy:1#fragment", "fragment is meaningless"),
        ("http://user@proxy:1", "username provided without password"),
    ],
)
async def test_what_is_no_proxy(lib: Library, proxy: str, why: str) -> None:
    with pytest.raises(lib.InvalidProxy) as invalid:
        lib.parse_proxy(proxy)
    assert (invalid.value.proxy, invalid.value.msg) == (proxy, why)
    assert str(invalid.value) == f"{proxy} isn't a valid proxy: {why}"
    with pytest.raises(lib.InvalidProxy, match=why):
        await lib.connect("ws://127.0.0.1:9/", proxy=proxy)
