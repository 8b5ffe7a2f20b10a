"""Certificates that change while a server runs."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from pathlib import Path

import pytest
import trustme

from duologue.net.certificates import Certificate

CA = trustme.CA()


def issue(directory: Path, name: str) -> trustme.LeafCert:
    leaf = CA.issue_cert(name)
    leaf.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    leaf.private_key_pem.write_to_path(directory / "key.pem")
    return leaf


def watch(directory: Path) -> tuple[ssl.SSLContext, Certificate]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return context, Certificate(context, directory / "cert.pem", directory / "key.pem")


def shown(context: ssl.SSLContext) -> set[str]:
    """Names in the certificate that a server of this context shows."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(client_context)
    client_context.check_hostname = False
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
    found = client.getpeercert()
    assert found
    return {str(value) for _, value in found["subjectAltName"]}


def test_a_new_certificate_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "duologue.net")
    issue(tmp_path, "old.test")
    context, certificate = watch(tmp_path)
    assert shown(context) == {"old.test"}
    assert not certificate.check()
    issue(tmp_path, "new.test")
    assert certificate.check()
    assert shown(context) == {"new.test"}
    assert not certificate.check()
    assert "has changed and is in use" in caplog.text


def test_half_of_a_new_pair_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issue(tmp_path, "old.test")
    context, certificate = watch(tmp_path)
    new = CA.issue_cert("new.test")
    new.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    for _ in range(2):
        assert not certificate.check()
    assert shown(context) == {"old.test"}
    assert len([each for each in caplog.records if each.levelno == logging.WARNING]) == 1
    new.private_key_pem.write_to_path(tmp_path / "key.pem")
    assert certificate.check()
    assert shown(context) == {"new.test"}


def test_missing_and_broken_files_change_nothing(tmp_path: Path) -> None:
    issue(tmp_path, "old.test")
    context, certificate = watch(tmp_path)
    os.remove(tmp_path / "cert.pem")
    assert not certificate.check()
    (tmp_path / "cert.pem").write_text("no certificate")
    assert not certificate.check()
    assert shown(context) == {"old.test"}


def test_an_encrypted_key_needs_its_password(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    leaf = issue(tmp_path, "old.test")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    for wrong in (None, "other"):
        with pytest.raises((ssl.SSLError, ValueError)):
            Certificate(context, *paths, wrong)
    Certificate(context, *paths, "secret")
    assert shown(context) == {"old.test"}


@pytest.mark.virtual_time
async def test_watching_looks_again_and_again(tmp_path: Path) -> None:
    issue(tmp_path, "old.test")
    context, certificate = watch(tmp_path)
    task = asyncio.create_task(certificate.watch(10))
    for name in ("one.test", "two.test"):
        issue(tmp_path, name)
        await asyncio.sleep(11)
        assert shown(context) == {name}
    task.cancel()
    await asyncio.wait([task])
