"""The line about TLS, and the one about the certificate."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import trustme

from duologue.cli.check import reach, visit
from duologue.cli.check.arguments import make_plan
from duologue.cli.check.findings import Report, Verdict

from .faulty import Faulty, serving
from .test_visit import line, problems


@pytest.fixture(scope="module")
def authority():
    return trustme.CA(organization_name="Trust Us")


@contextlib.asynccontextmanager
async def secured(authority, *names, **options):
    """Serves an echo over TLS; gives its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issued = authority.issue_cert(*names, **options)
    issued.configure_cert(context)
    context.set_alpn_protocols(["http/1.1"])
    faulty = Faulty()

    async def serve(reader, writer):
        one = Faulty()
        one.requests = faulty.requests
        with contextlib.suppress(asyncio.CancelledError, ssl.SSLError):
            await one.conversation(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], faulty, context
        server.close()
        await asyncio.sleep(0.05)


def plan(port: int, tmp_path, authority, **changes):
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    arguments = SimpleNamespace(
        url=f"wss://127.0.0.1:{port}/",
        header=[],
        auth=None,
        origin=None,
        subprotocol=[],
        insecure=False,
        ca=str(path),
        cert=None,
        key=None,
        proxy="none",
        patience=1.0,
        pings=1,
        max_message=2048,
        no_messages=False,
        idle=None,
    )
    for key, value in changes.items():
        setattr(arguments, key, value)
    return make_plan(arguments)


async def run(made) -> Report:
    report = Report(made.url)
    await visit.check(made, report)
    return report


pytestmark = pytest.mark.leftovers_allowed  # asyncio's TLS transports need a turn to be gone


async def test_what_was_agreed_on(authority, tmp_path):
    async with secured(authority, "127.0.0.1") as (port, _, _):
        report = await run(plan(port, tmp_path, authority))
    assert problems(report) == []
    tls = line(report, "tls").details
    assert (tls["version"], tls["alpn"]) == ("TLSv1.3", "http/1.1")
    assert tls["cipher"] in line(report, "tls").text
    found = line(report, "certificate")
    assert found.verdict is Verdict.OK
    assert found.details["names"] == ["127.0.0.1"]
    assert found.details["hostname_matches"]
    assert "Trust Us" in found.details["issuer"]


async def test_an_older_version(authority, tmp_path):
    async with secured(authority, "127.0.0.1") as (port, _, context):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        report = await run(plan(port, tmp_path, authority))
    assert line(report, "tls").details["version"] == "TLSv1.2"


async def test_an_unknown_authority_is_a_problem_and_gets_no_credentials(authority, tmp_path):
    async with secured(authority, "127.0.0.1") as (port, faulty, _):
        report = await run(plan(port, tmp_path, trustme.CA(), auth="ann:secret"))
    assert problems(report) == ["tls"]
    assert "can't be trusted" in report.findings[-3].text
    assert "Trust Us" in line(report, "certificate").text
    assert faulty.requests == []
    assert report.topics == ["certificate"]


async def test_insecure_goes_on(authority, tmp_path):
    async with secured(authority, "127.0.0.1") as (port, faulty, _):
        report = await run(plan(port, tmp_path, trustme.CA(), insecure=True))
    assert problems(report) == []
    assert line(report, "certificate").text.startswith("not verified (-k)")
    assert faulty.requests


async def test_a_certificate_for_somebody_else(authority, tmp_path):
    async with secured(authority, "www.example.com") as (port, _, _):
        report = await run(plan(port, tmp_path, authority))
    assert problems(report) == ["tls", "certificate"]
    assert "it is not for 127.0.0.1" in line(report, "certificate").text
    assert "www.example.com" in line(report, "certificate").text


async def test_an_expired_certificate(authority, tmp_path):
    ended = datetime.now(UTC) - timedelta(days=3)
    options = {"not_before": ended - timedelta(days=9), "not_after": ended}
    async with secured(authority, "127.0.0.1", **options) as (port, _, _):
        report = await run(plan(port, tmp_path, authority))
    assert problems(report) == ["tls", "certificate"]
    assert "it expired 3 days ago" in line(report, "certificate").text


@pytest.mark.parametrize(
    ("days", "verdict"), [(13, Verdict.NOTE), (15, Verdict.OK), (-1, Verdict.PROBLEM)]
)
async def test_one_that_expires_soon(authority, tmp_path, days, verdict):
    end = datetime.now(UTC) + timedelta(days=100)
    async with secured(authority, "127.0.0.1", not_after=end) as (port, _, _):
        made = plan(port, tmp_path, authority)
        report = Report(made.url)
        found = reach.Reach(made, report, lambda: end - timedelta(days=days, hours=-1))
        assert await found.survey()
    assert line(report, "certificate").verdict is verdict


async def test_a_certificate_of_the_client(authority, tmp_path):
    path = str(tmp_path / "client.pem")
    authority.issue_cert("ann@example.com").private_key_and_cert_chain_pem.write_to_path(path)
    async with secured(authority, "127.0.0.1") as (port, _, context):
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
        without = await run(plan(port, tmp_path, authority))
        report = await run(plan(port, tmp_path, authority, cert=path))
    assert problems(without) != []
    assert problems(report) == []


async def test_wss_on_a_port_without_tls(tmp_path, authority):
    async with serving(Faulty()) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        report = await run(plan(port, tmp_path, authority))
    assert problems(report) == ["tls"]


async def test_a_key_needs_a_certificate(tmp_path, authority):
    with pytest.raises(ValueError, match="--key needs --cert"):
        plan(1, tmp_path, authority, key="key.pem")
