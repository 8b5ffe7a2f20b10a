"""Certificates: held against what ``cryptography`` has written."""

from __future__ import annotations

import datetime
import ipaddress
import random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from duologue.cli.check.certificate import matches, read_certificate

UTC = datetime.UTC
BEGIN = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)


def name(**parts: str) -> x509.Name:
    oids = {"cn": NameOID.COMMON_NAME, "o": NameOID.ORGANIZATION_NAME, "c": NameOID.COUNTRY_NAME}
    return x509.Name([x509.NameAttribute(oids[key], value) for key, value in parts.items()])


def make(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    names: list[x509.GeneralName] | None = None,
    end: datetime.datetime = datetime.datetime(2049, 5, 6, 7, 8, 9, tzinfo=UTC),
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_everything_is_read():
    der = make(
        subject=name(c="DE", o="Größe & Co", cn="www.example.com"),
        issuer=name(c="US", o="Trust Us", cn="Trust Us R3"),
        names=[
            x509.DNSName("www.example.com"),
            x509.DNSName("*.example.org"),
            x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
            x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        ],
    )
    certificate = read_certificate(der)
    assert certificate.subject == "www.example.com, Größe & Co"
    assert certificate.issuer == "Trust Us R3, Trust Us"
    assert certificate.not_before == BEGIN
    assert certificate.not_after == datetime.datetime(2049, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert certificate.names == (
        "www.example.com",
        "*.example.org",
        "192.0.2.1",
        "2001:db8::1",
    )
    assert not certificate.self_signed


def test_the_second_way_to_write_a_time():
    end = datetime.datetime(2050, 1, 1, tzinfo=UTC)  # from then on with four digits
    der = make(subject=name(cn="a"), issuer=name(cn="a"), end=end)
    certificate = read_certificate(der)
    assert certificate.not_after == end
    assert certificate.self_signed
    assert certificate.names == ()


def test_a_certificate_without_a_name():
    certificate = read_certificate(make(subject=x509.Name([]), issuer=name(cn="a")))
    assert certificate.subject == "(no name)"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("www.example.com", True),
        ("WWW.example.com.", True),
        ("example.com", False),
        ("a.example.org", True),
        ("a.b.example.org", False),
        ("example.org", False),
        ("2001:db8::1", True),
        ("2001:0db8:0::1", True),
        ("2001:db8::2", False),
    ],
)
def test_matches(host, expected):
    names = [
        x509.DNSName("www.example.com"),
        x509.DNSName("*.example.org"),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
    ]
    certificate = read_certificate(make(subject=name(cn="x"), issuer=name(cn="a"), names=names))
    assert matches(certificate, host) is expected


def test_anything_else_is_a_value_error():
    der = make(subject=name(cn="x"), issuer=name(cn="a"), names=[x509.DNSName("x")])
    for cut in range(0, len(der), 3):
        with pytest.raises(ValueError, match="not a certificate"):
            read_certificate(der[:cut])
    with pytest.raises(ValueError, match="not a certificate"):
        read_certificate(der + b"more")
    rng = random.Random(7)
    for _ in range(2000):
        broken = bytearray(der)
        for _ in range(3):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            read_certificate(bytes(broken))
        except ValueError as error:
            assert str(error).startswith("not a certificate")
