"""What a certificate says, read from its DER octets, trusted or not.

The ``ssl`` module shows the contents of certificates that it has verified, and those are not the
ones a doctor is asked about. This reads the few fields that a person wants to see and judges
nothing: OpenSSL does that.

Invariants: any octets at all give a value or :exc:`ValueError`; nothing is followed beyond the end
of what contains it.

Sources: X.690 section 8 (DER); RFC 5280 sections 4.1 and 4.2.1.6.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Certificate", "matches", "read_certificate"]

_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_OCTET_STRING = 0x04
_BMP_STRING = 0x1E

_ALTERNATIVE_NAMES = bytes.fromhex("551d11")
_ATTRIBUTES = {
    bytes.fromhex("550403"): "CN",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """The fields of a certificate that a person wants to see.

    Attributes:
        subject: Common name of its owner, else organization.
        issuer: Common name of its issuer, with the organization.
        not_before: When it begins to be valid, UTC.
        not_after: When it ends to be valid, UTC.
        names: Host names and IP addresses it is for.
        self_signed: Whether subject and issuer are the same.
    """

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    self_signed: bool


@dataclass(frozen=True, slots=True)
class _Element:
    tag: int
    value: bytes

    def children(self) -> list[_Element]:
        return list(_elements(self.value))


def _elements(octets: bytes) -> Iterator[_Element]:
    at = 0
    while at < len(octets):
        if at + 2 > len(octets):
            raise ValueError("DER element without a length")
        tag, length = octets[at], octets[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or at + count > len(octets):
                raise ValueError("DER element with a wrong length")
            length = int.from_bytes(octets[at : at + count])
            at += count
        if at + length > len(octets):
            raise ValueError("DER element longer than what contains it")
        yield _Element(tag, octets[at : at + length])
        at += length


def read_certificate(der: bytes) -> Certificate:
    """Reads a certificate.

    Args:
        der: The certificate in DER, as ``SSLObject.getpeercert(True)`` gives it.

    Raises:
        ValueError: If it isn't one.
    """
    try:
        (whole,) = _elements(der)
        fields = whole.children()[0].children()
        if fields[0].tag == _VERSION:
            fields = fields[1:]
        # serial number, signature algorithm, issuer, validity, subject, key, extensions
        issuer, validity, subject = fields[2:5]
        begin, end = validity.children()
        return Certificate(
            subject=_name(subject),
            issuer=_name(issuer),
            not_before=_time(begin),
            not_after=_time(end),
            names=tuple(_alternative_names(fields[5:])),
            self_signed=issuer.value == subject.value,
        )
    except (IndexError, ValueError) as error:
        raise ValueError(f"not a certificate: {error}") from None


def _name(element: _Element) -> str:
    """Returns a distinguished name in short: common name, else unit, and the organization."""
    found: dict[str, str] = {}
    for relative in element.children():
        for attribute in relative.children():
            kind, value = attribute.children()[:2]
            if kind.value in _ATTRIBUTES:
                found.setdefault(_ATTRIBUTES[kind.value], _string(value))
    parts = [found.get("CN") or found.get("OU"), found.get("O")]
    return ", ".join(dict.fromkeys(part for part in parts if part)) or "(no name)"


def _string(element: _Element) -> str:
    encoding = "utf-16-be" if element.tag == _BMP_STRING else "utf-8"
    return element.value.decode(encoding, errors="replace")


def _time(element: _Element) -> datetime:
    text = element.value.decode("ascii", errors="replace")
    if element.tag == _UTC_TIME:  # two digits for the year: 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _alternative_names(fields: list[_Element]) -> Iterator[str]:
    for field in fields:
        if field.tag != _EXTENSIONS:
            continue
        for extension in field.children()[0].children():
            kind, *_, value = extension.children()
            if kind.value != _ALTERNATIVE_NAMES or value.tag != _OCTET_STRING:
                continue
            (names,) = _elements(value.value)
            for name in names.children():
                if name.tag == _DNS_NAME:
                    yield name.value.decode("ascii", errors="replace")
                elif name.tag == _IP_ADDRESS and len(name.value) in (4, 16):
                    yield str(ipaddress.ip_address(name.value))


def matches(certificate: Certificate, host: str) -> bool:
    """Tells whether a certificate names a host, for showing only: OpenSSL decides.

    Args:
        certificate: The certificate.
        host: Host name in lower case, or an IP address without brackets.
    """
    try:
        wanted = str(ipaddress.ip_address(host))
    except ValueError:
        wanted = host.lower().rstrip(".")
    parent = wanted.partition(".")[2]
    return any(
        name.lower() == wanted or (name.startswith("*.") and parent == name[2:].lower())
        for name in certificate.names
    )
