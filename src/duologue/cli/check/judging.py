"""What there is to say of a server's certificate: for whom, by whom, until when.

OpenSSL has decided whether it is trusted; this finds the words, and what will go wrong soon.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from duologue.cli.check.certificate import Certificate, matches, read_certificate
from duologue.cli.check.findings import Report
from duologue.cli.check.plan import Plan

__all__ = ["EXPIRES_SOON", "judge_certificate"]

EXPIRES_SOON = 14
"""Days before a certificate's end at which it is time to worry; renewal is usual at 30."""


def judge_certificate(der: bytes | None, plan: Plan, report: Report, now: datetime) -> None:
    """Adds what there is to say of a server's certificate.

    Args:
        der: The certificate.
        plan: What is checked.
        report: Where the finding goes.
        now: The time it is held against.
    """
    try:
        certificate = read_certificate(der or b"")
    except ValueError as error:
        report.note("certificate", f"it can't be shown: {error}")
        return
    host = plan.uri.host
    days = (certificate.not_after - now).days
    text = _described(certificate)
    details: dict[str, Any] = {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_after": certificate.not_after.isoformat(),
        "names": list(certificate.names),
        "days_left": days,
        "hostname_matches": matches(certificate, host),
    }
    faults = []
    if certificate.not_after < now:
        faults.append(f"it expired {(now - certificate.not_after).days} days ago")
    if certificate.not_before > now:
        faults.append("it is not valid yet: is this machine's clock right?")
    if not matches(certificate, host):
        faults.append(f"it is not for {host}")
    if faults:
        line = f"{'; '.join(faults)} ({text})"
        report.problem("certificate", line, topics=("certificate",), **details)
    elif days < EXPIRES_SOON:
        line = f"it expires in {days} days ({text})"
        report.note("certificate", line, topics=("certificate",), **details)
    elif not plan.verified:
        report.note("certificate", f"not verified (-k): {text}", **details)
    else:
        report.ok("certificate", f"{text}, {days} days left", **details)


def _described(certificate: Certificate) -> str:
    names = ", ".join(certificate.names[:4]) or "no names"
    if len(certificate.names) > 4:
        names += f" and {len(certificate.names) - 4} more"
    issuer = "itself" if certificate.self_signed else certificate.issuer
    until = certificate.not_after.date().isoformat()
    return f"{certificate.subject} for {names}, issued by {issuer}, valid until {until}"
