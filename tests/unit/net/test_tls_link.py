"""TLS over a link of the engine, through OpenSSL and through the ssl module, on every loop."""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import socket
import ssl
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from duologue.net import records
from duologue.net.listening import listen
from duologue.net.socket_link import SocketLink
from duologue.net.timers import timers_of
from duologue.net.tls import TlsOptions, dial_tls
from duologue.net.transport import LinkTransport

from .rig import Errors, Owner, reset, turns, watched
from .tls_rig import NAME, authority, client_context, server_context, session

pytestmark = pytest.mark.usefixtures("way", "loop_factory")

SIDES = pytest.mark.parametrize("server_side", [True, False], ids=["server", "client"])


@pytest.fixture(params=["direct", "library"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways to drive a session."""
    before = records.is_direct()
    if records.set_direct(request.param == "direct") != (request.param == "direct"):
        pytest.skip("this interpreter doesn't share its OpenSSL")
    yield request.param
    records.set_direct(before)


def timers_set() -> int:
    return len(timers_of(asyncio.get_running_loop()).pending())


# -- octets


@SIDES
async def test_octets_both_ways(loop_factory: Any, server_side: bool) -> None:
    with session(server_side=server_side) as at:
        await at.open()
        assert at.opened == [at.link] and timers_set() == 0
        await at.far.send(b"in")
        await at.owner.until(lambda: at.owner.received == b"in")
        at.link.write_octets(b"out")
        at.link.write_octets(b"")
        assert await at.far.read(3) == b"out"
        assert at.link.unsent_octets() == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@SIDES
async def test_megabytes_both_ways(
    loop_factory: Any, server_side: bool, version: ssl.TLSVersion
) -> None:
    octets = random.Random(3).randbytes(3_000_000)
    ours = server_context() if server_side else client_context()
    ours.minimum_version = ours.maximum_version = version
    with session(server_side=server_side, ours=ours) as at:
        await at.open()
        assert at.far.tls.version() == version.name.replace("v1_", "v1.")
        at.link.write_octets(octets)
        sending = asyncio.create_task(at.far.loop.sock_sendall(at.sock, at.far.records(octets)))
        await at.owner.until(lambda: len(at.owner.received) == len(octets))
        await sending
        assert at.owner.received == octets
        assert await at.far.read(len(octets)) == octets
        await at.owner.until(lambda: True in at.owner.told)
        assert at.owner.told == [False, True]


async def test_records_of_one_read_are_handed_on_together(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        at.sock.send(at.far.records(*[b"x"] * 100))
        await at.owner.until(lambda: len(at.owner.received) == 100)
        assert at.owner.pieces == [b"x" * 100]


async def test_records_in_pieces_of_one_octet(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        for octet in at.far.records(b"some", b"thing"):
            at.sock.send(bytes([octet]))
            await turns(3)
        await at.owner.until(lambda: len(at.owner.received) == 9)
        assert at.owner.pieces == [b"some", b"thing"]


async def test_octets_that_come_with_the_end_of_the_handshake(loop_factory: Any) -> None:
    with session() as at:
        hello = asyncio.create_task(at.far.handshake())
        at.inner.begin()
        await hello
        await at.far.send(b"early")
        await at.owner.until(lambda: at.owner.received == b"early")


# -- writing


async def test_what_waits_is_bounded_as_records_and_kept_by_reference(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        octets = random.Random(4).randbytes(20_000_000)
        at.link.write_octets(octets)
        at.link.write_octets(b"the end")
        assert at.owner.told == [False]
        # Plain octets wait in the link; below it there is little more than the mark.
        assert 19_000_000 < at.link.unsent_octets() < 20_100_000
        assert at.inner.unsent_octets() <= 65536 + 70_000
        assert await at.far.read(len(octets) + 7) == octets + b"the end"
        await at.owner.until(lambda: True in at.owner.told)
        assert at.owner.told == [False, True]
        assert at.link.unsent_octets() == 0


async def test_progress_shows_in_what_is_unsent(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        at.link.write_octets(bytes(5_000_000))
        waiting = at.link.unsent_octets()
        assert len(await at.far.read(1_000_000)) >= 1_000_000
        await turns(20)
        assert at.link.unsent_octets() < waiting - 500_000


async def test_the_owner_writes_when_told_that_it_may(loop_factory: Any) -> None:
    left = 30

    def writable(yes: bool) -> None:
        nonlocal left
        while yes and left and at.link.unsent_octets() < 65536:
            left -= 1
            at.link.write_octets(b"x" * 100_000)

    with session(writable=writable) as at:
        await at.open()
        writable(True)
        assert await at.far.read(3_000_000) == b"x" * 3_000_000
        assert left == 0


async def test_a_reset_while_writing(loop_factory: Any) -> None:
    with session(kind=socket.AF_INET) as at:
        await at.open()
        at.link.pause()
        reset(at.sock)
        at.link.write_octets(b"x")
        at.link.write_octets(b"y")
        await at.owner.until_lost()
        assert isinstance(at.owner.reason, ConnectionError)
        at.link.write_octets(b"z")
        assert watched() == 0


async def test_lost_while_much_waits(loop_factory: Any) -> None:
    with session(kind=socket.AF_INET) as at:
        await at.open()
        at.link.write_octets(bytes(20_000_000))
        reset(at.sock)
        await at.owner.until_lost()
        assert isinstance(at.owner.reason, ConnectionError)
        assert at.link.unsent_octets() == 0


# -- pausing


async def test_nothing_comes_while_paused(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        at.link.pause()
        assert not at.link.is_reading()
        await at.far.send(b"later")
        await asyncio.sleep(0.01)
        assert at.owner.received == b""
        at.link.resume()
        assert at.link.is_reading()
        await at.owner.until(lambda: at.owner.received == b"later")


async def test_a_pause_between_records_keeps_the_rest(loop_factory: Any) -> None:
    octets = random.Random(5).randbytes(400_000)

    def data(_: bytes) -> None:
        at.link.pause()

    with session(data=data) as at:
        await at.open()
        sending = asyncio.create_task(at.far.loop.sock_sendall(at.sock, at.far.records(octets)))
        await at.owner.until(lambda: at.owner.received)
        await asyncio.sleep(0.01)
        assert len(at.owner.pieces) == 1 and len(at.owner.pieces[0]) < 90_000
        while len(at.owner.received) < len(octets):
            have = len(at.owner.pieces)
            at.link.resume()
            assert len(at.owner.pieces) == have  # never from inside the owner's own call
            await at.owner.until(lambda have=have: len(at.owner.pieces) > have)  # type: ignore[misc]
            assert len(at.owner.pieces) == have + 1
        assert at.owner.received == octets
        await sending


@pytest.mark.parametrize("notified", [True, False])
async def test_the_end_comes_behind_what_a_pause_kept(loop_factory: Any, notified: bool) -> None:
    def data(_: bytes) -> None:
        at.link.pause()

    with session(data=data) as at:
        await at.open()
        octets = at.far.records(bytes(150_000)) + (at.far.close_notify() if notified else b"")
        await at.far.loop.sock_sendall(at.sock, octets)
        at.sock.shutdown(socket.SHUT_WR)
        await at.owner.until(lambda: at.owner.received)
        await asyncio.sleep(0.01)
        assert at.owner.told == []
        for _ in range(20):
            at.link.resume()
            await turns()
        assert len(at.owner.received) == 150_000
        assert at.owner.told == ["eof"]


async def test_pausing_and_resuming_in_one_turn(loop_factory: Any) -> None:
    def data(octets: bytes) -> None:
        for _ in range(3):
            at.link.pause()
            at.link.resume()

    with session(data=data) as at:
        await at.open()
        octets = random.Random(6).randbytes(300_000)
        await at.far.loop.sock_sendall(at.sock, at.far.records(octets))
        await at.owner.until(lambda: len(at.owner.received) == len(octets))
        assert at.owner.received == octets


# -- ends


@pytest.mark.parametrize("notified", [True, False], ids=["close_notify", "truncated"])
async def test_the_peers_end(loop_factory: Any, notified: bool) -> None:
    with session() as at:
        await at.open()
        await at.far.loop.sock_sendall(at.sock, at.far.records(b"last"))
        if notified:
            at.sock.send(at.far.close_notify())
        else:
            at.sock.shutdown(socket.SHUT_WR)
        await at.owner.until(lambda: "eof" in at.owner.told)
        assert at.owner.received == b"last" and not at.link.is_reading()
        at.link.write_octets(b"answer")
        assert await at.far.read(6) == b"answer"
        at.link.close_link()
        await at.owner.until_lost()
        assert at.owner.told == ["eof", ("lost", None)]


async def test_both_kinds_of_end_are_told_once(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        at.sock.send(at.far.close_notify())
        await at.owner.until(lambda: "eof" in at.owner.told)
        at.sock.send(b"what follows a close_notify is not read")
        at.sock.shutdown(socket.SHUT_WR)
        await turns(20)
        assert at.owner.told == ["eof"]


async def test_we_end_our_stream_and_go_on_reading(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        at.link.write_octets(b"last")
        at.link.write_eof()
        at.link.write_eof()
        at.link.write_octets(b"dropped")
        assert await at.far.read(100) == b"last"
        # A close_notify came, and the TCP stream has ended as well.
        assert at.far.tls.read(1) == b"" and at.sock.recv(1) == b""
        await at.far.send(b"still")
        await at.owner.until(lambda: at.owner.received == b"still")


async def test_the_end_waits_for_what_was_written(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        at.link.write_octets(bytes(10_000_000))
        at.link.write_eof()
        assert len(await at.far.read(20_000_000)) == 10_000_000
        assert at.far.tls.read(1) == b""


async def test_close_sends_all_and_a_close_notify(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        at.link.write_octets(bytes(10_000_000))
        at.link.close_link()
        assert at.link.is_closing() and timers_set() == 1
        assert len(await at.far.read(20_000_000)) == 10_000_000
        assert at.far.tls.read(1) == b""
        await at.owner.until_lost()
        assert at.owner.reason is None and timers_set() == 0


async def test_a_close_that_nobody_reads_is_given_up(loop_factory: Any) -> None:
    with session(shutdown_timeout=0.02) as at:
        await at.open()
        at.link.write_octets(bytes(10_000_000))
        at.link.close_link()
        await at.owner.until_lost()
        assert isinstance(at.owner.reason, TimeoutError)
        assert "ssl_shutdown_timeout of 0.02 s" in str(at.owner.reason)
        assert watched() == 0


async def test_abort(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        at.link.write_octets(bytes(10_000_000))
        at.link.abort_link()
        assert at.link.unsent_octets() == 0 and at.owner.told == [False]
        await at.owner.until_lost()
        at.link.close_link()
        at.link.write_eof()
        at.link.resume()
        assert at.owner.told == [False, ("lost", None)]


# -- faults


async def test_a_broken_record_comes_after_the_good_ones(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        good, bad = at.far.records(b"good"), bytearray(at.far.records(b"bad"))
        bad[-1] ^= 1
        at.sock.send(good + bytes(bad))
        await at.owner.until_lost()
        assert at.owner.received == b"good"
        assert isinstance(at.owner.reason, ssl.SSLError)
        assert "bad record mac" in str(at.owner.reason)
        with pytest.raises(ssl.SSLError, match="alert bad record mac"):
            await at.far.read(1)


async def test_an_alert_of_the_peer_is_no_end(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        at.link.write_octets(b"spoilt on its way")
        octets = bytearray(await at.far.loop.sock_recv(at.sock, 1 << 16))
        octets[-1] ^= 1
        at.far.incoming.write(octets)
        with pytest.raises(ssl.SSLError, match="bad record mac"):
            while True:
                at.far.tls.read(1)
        await at.far.flush()
        await at.owner.until_lost()
        assert isinstance(at.owner.reason, ssl.SSLError)
        assert "alert bad record mac" in str(at.owner.reason)
        assert "eof" not in at.owner.told


async def test_an_error_of_the_owner_ends_its_link_only(loop_factory: Any) -> None:
    def data(_: bytes) -> None:
        raise ZeroDivisionError

    errors = Errors()
    with session(data=data) as at:
        await at.open()
        await at.far.send(b"x")
        await at.owner.until_lost()
        assert isinstance(at.owner.reason, ZeroDivisionError)
        assert errors.exceptions == [ZeroDivisionError]


async def test_an_error_of_the_owner_behind_a_pause(loop_factory: Any) -> None:
    def data(_: bytes) -> None:
        if len(at.owner.pieces) > 1:
            raise ZeroDivisionError
        at.link.pause()

    errors = Errors()
    with session(data=data) as at:
        await at.open()
        await at.far.loop.sock_sendall(at.sock, at.far.records(bytes(150_000)))
        await at.owner.until(lambda: at.owner.received)
        at.link.resume()
        await at.owner.until_lost()
        assert isinstance(at.owner.reason, ZeroDivisionError)
        assert errors.exceptions == [ZeroDivisionError]


# -- handshake


@pytest.mark.parametrize(
    "octets", [b"\0garbage" * 10, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["garbage", "http"]
)
@SIDES
async def test_something_else_than_tls(loop_factory: Any, server_side: bool, octets: bytes) -> None:
    errors = Errors()
    with session(server_side=server_side) as at:
        at.inner.begin()
        at.sock.send(octets)
        assert isinstance(await at.failed(), ssl.SSLError)
        await asyncio.sleep(0.01)
        assert watched() == 0 and timers_set() == 0 and errors.contexts == []


@SIDES
async def test_the_peer_goes_during_the_handshake(loop_factory: Any, server_side: bool) -> None:
    with session(server_side=server_side) as at:
        at.inner.begin()
        at.sock.close()
        assert isinstance(await at.failed(), ConnectionResetError)
        await turns()
        assert watched() == 0 and timers_set() == 0


@SIDES
async def test_a_handshake_that_never_ends(loop_factory: Any, server_side: bool) -> None:
    with session(server_side=server_side, handshake_timeout=0.02) as at:
        at.inner.begin()
        failure = await at.failed()
        assert isinstance(failure, ConnectionAbortedError)
        assert "ssl_handshake_timeout of 0.02 s" in str(failure)
        await turns()
        assert watched() == 0 and timers_set() == 0


@pytest.mark.parametrize("end", ["abort_link", "close_link"])
async def test_given_up_during_the_handshake(loop_factory: Any, end: str) -> None:
    with session() as at:
        at.inner.begin()
        await turns()
        getattr(at.link, end)()
        await turns()
        assert at.failure == [] and watched() == 0 and timers_set() == 0


async def test_a_certificate_for_another_name(loop_factory: Any) -> None:
    with session(server_side=False, hostname="other.test") as at:
        at.inner.begin()
        with pytest.raises(ssl.SSLError, match="alert"):
            await at.far.handshake()
            await at.far.read(1)
        failure = await at.failed()
        assert isinstance(failure, ssl.SSLCertVerificationError)
        assert "other.test" in str(failure)


async def test_a_name_is_needed_where_it_is_checked(loop_factory: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop = asyncio.get_running_loop()
        options = TlsOptions(client_context(), None, 30.0, 30.0)
        inner = SocketLink(loop, ours)
        with pytest.raises(ValueError, match="check_hostname requires server_hostname"):
            await dial_tls(loop, inner, options)
        assert inner.is_closing() and timers_set() == 0


async def test_name_protocol_and_certificates_are_negotiated(loop_factory: Any) -> None:
    asked: list[Any] = []
    ours, theirs = server_context(), client_context()
    ours.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(ours)
    authority().issue_cert("client.test").configure_cert(theirs)
    ours.sni_callback = lambda tls, name, context: asked.append((type(tls), name))
    ours.set_alpn_protocols(["http/1.1"])
    theirs.set_alpn_protocols(["h2", "http/1.1"])
    with session(ours=ours, theirs=theirs) as at:
        await at.open()
        tls = at.link.get_extra_info("ssl_object")
        assert asked == [(type(tls), NAME)]
        assert tls.selected_alpn_protocol() == "http/1.1"
        subject = at.link.get_extra_info("peercert")["subjectAltName"]
        assert subject == (("DNS", "client.test"),)


async def test_a_client_without_the_certificate_that_is_asked_for(loop_factory: Any) -> None:
    ours = server_context()
    ours.verify_mode = ssl.CERT_REQUIRED
    with session(ours=ours) as at:
        at.inner.begin()
        with pytest.raises(ssl.SSLError, match="certificate required"):
            await at.far.handshake()
            await at.far.read(1)
        assert "peer did not return a certificate" in str(await at.failed())


async def test_a_client_has_no_owner_until_it_begins(loop_factory: Any) -> None:
    with session(server_side=False, attach=False) as at:
        await at.open()
        await at.far.send(b"early")
        with pytest.raises(RuntimeError, match="has no owner"):
            at.link.begin()
        await asyncio.sleep(0.01)
        at.link.attach(at.owner)
        assert at.owner.received == b""
        at.link.begin()
        await at.owner.until(lambda: at.owner.received == b"early")


async def test_octets_that_come_with_the_handshake_wait_for_the_owner(loop_factory: Any) -> None:
    ours = client_context()
    ours.maximum_version = ssl.TLSVersion.TLSv1_2
    with session(server_side=False, attach=False, ours=ours) as at:
        at.inner.begin()
        flight = at.far.outgoing
        while True:  # the server's last flight and its first data in one piece
            try:
                at.far.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await at.far.flush()
                at.far.incoming.write(await at.far.loop.sock_recv(at.sock, 1 << 16))
        at.sock.send(flight.read() + at.far.records(b"with it"))
        await at.owner.until(lambda: at.opened)
        await turns()
        at.link.attach(at.owner)
        at.link.begin()
        assert at.owner.received == b""
        await at.owner.until(lambda: at.owner.received == b"with it")


# -- facts


async def test_what_the_transport_tells(loop_factory: Any) -> None:
    with session(kind=socket.AF_INET) as at:
        await at.open()
        transport = at.link.transport
        assert isinstance(transport, LinkTransport)
        tls = transport.get_extra_info("ssl_object")
        assert isinstance(tls, ssl.SSLObject)
        assert transport.get_extra_info("sslcontext") is tls.context
        assert transport.get_extra_info("cipher") == at.far.tls.cipher()
        assert transport.get_extra_info("peercert") is None
        assert transport.get_extra_info("compression", "none") == "none"
        assert transport.get_extra_info("peername") == at.sock.getsockname()
        assert transport.get_extra_info("sockname") == at.sock.getpeername()
        assert transport.is_reading() and not transport.is_closing()
        assert repr(at.link).startswith("<TlsLink queued=0 over <SocketLink")
        transport.close()
        assert transport.is_closing() and not transport.is_reading()
        await at.owner.until_lost()
        assert transport.get_extra_info("cipher") == at.far.tls.cipher()


async def test_an_ssl_object_that_outlives_its_link(loop_factory: Any) -> None:
    with session() as at:
        await at.open()
        tls = at.link.get_extra_info("ssl_object")
        at.link.abort_link()
        await at.owner.until_lost()
        gone = weakref.ref(at.link)
        at.opened.clear()
        del at.link
        at.link = type("", (), {"abort_link": staticmethod(lambda: None)})()
        gc.collect()
        assert gone() is None
        with pytest.raises(ssl.SSLWantReadError):
            tls.read(1)
        assert tls.write(b"into the void") == 13
        assert tls.version() == "TLSv1.3"


# -- what only another implementation's tool does


async def s_client(port: int, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest.mark.parametrize(
    ("command", "version"), [("K", "-tls1_3"), ("k", "-tls1_3"), ("R", "-tls1_2")]
)
async def test_new_keys_and_new_handshakes(loop_factory: Any, command: str, version: str) -> None:
    """K asks for new keys of both sides, k renews the client's, R begins a new handshake."""
    context = server_context()
    context.options |= 1 << 8  # SSL_OP_ALLOW_CLIENT_RENEGOTIATION
    said: list[bytes] = []
    links: list[Any] = []

    def opened(link: Any) -> None:
        links.append(link)
        link.attach(owner)

    def data(octets: bytes) -> None:
        said.append(octets)
        links[0].write_octets(b"<" + octets.strip() + b">\n")

    owner = Owner(data=data)
    loop = asyncio.get_running_loop()
    server = await listen(loop, opened, "127.0.0.1", 0, ssl=context)
    client = await s_client(server.sockets[0].getsockname()[1], version)
    assert client.stdin is not None and client.stdout is not None
    try:
        for line in (b"one", b"two", b"three"):
            client.stdin.write(line + b"\n")
            await client.stdin.drain()
            while b"<" + line + b">" not in await client.stdout.readline():
                pass
            client.stdin.write(command.encode() + b"\n")
            await client.stdin.drain()
            # s_client takes what it reads at once for one line.
            await asyncio.sleep(0.05)
        assert b"".join(said) == b"one\ntwo\nthree\n"
        client.stdin.close()
        await owner.until(lambda: "eof" in owner.told)
        links[0].close_link()
        await owner.until_lost()
    finally:
        if client.returncode is None:
            client.kill()
        await client.communicate()
        server.close()
