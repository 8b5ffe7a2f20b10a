"""The environment of a program: CGI's variables (RFC 3875), as websocketd gives them.

Nothing of our own environment reaches a program but what ``--passenv`` names.

Invariant: a value never holds a line end or a NUL, so that a header can't pretend to be another
variable where a program prints its environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from duologue.frontends.websocketd.origins import split_host
from duologue.frontends.websocketd.visit import Visit
from duologue.version import version

__all__ = ["SOFTWARE", "header_variables", "passed", "variables"]

SOFTWARE = f"websocketd/{version}"

_EMPTY = ("AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE", "REMOTE_IDENT", "REMOTE_USER")


def clean(value: str) -> str:
    """Returns a value without line ends."""
    if value.isprintable() and value[:1] != " " != value[-1:]:
        # As most are: a control character isn't printable.
        return value
    return value.replace("\r", " ").replace("\n", " ").replace("\0", "").strip()


def passed(names: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Returns what is passed on of our own environment.

    Args:
        names: Of ``--passenv``. ``HTTPS`` is never passed: it says that a request came over TLS.
        environment: Ours.
    """
    values = {name: clean(environment.get(name, "")) for name in names if name != "HTTPS"}
    return {name: value for name, value in values.items() if value}


def header_variables(visit: Visit, *, strict: bool = False) -> dict[str, str]:
    """Returns a variable for each header of a request, but ``Host``; not yet without line ends.

    Args:
        visit: The request.
        strict: Whether to give what lets a client pretend: ``Proxy``, since many programs take
            ``HTTP_PROXY`` for a setting (CVE-2016-5385, "httpoxy"), and ``X_Name`` besides the
            ``X-Name`` that a proxy may have set.
    """
    found: dict[str, list[str]] = {}
    for name, value in visit.headers.raw_items():
        key = "HTTP_" + name.upper().replace("-", "_")
        pretends = "_" in name and name.replace("_", "-") in visit.headers
        if key != "HTTP_HOST" and (strict or not (pretends or key == "HTTP_PROXY")):
            # Octets beyond ASCII come as ISO 8859-1 and go on as they were.
            octets = value.encode("latin-1", "replace")
            found.setdefault(key, []).append(os.fsdecode(octets))
    return {key: ", ".join(values) for key, values in found.items()}


def variables(
    visit: Visit,
    script_name: str,
    path_info: str,
    given: Mapping[str, str],
    *,
    strict: bool = False,
) -> dict[str, str]:
    """Returns the whole environment of a program that speaks with a WebSocket.

    Args:
        visit: The request that opened it.
        script_name: The part of its path that named the program.
        path_info: The part after that.
        given: What is passed on of our own environment.
        strict: Whether to give what websocketd 0.4.1 gives.
    """
    name, port = split_host(visit.host) or ("", None)
    if port == "":
        port = "443" if visit.tls else "80"
    result = {
        "SERVER_SOFTWARE": SOFTWARE,
        **given,
        "REMOTE_ADDR": visit.remote_address,
        "REMOTE_HOST": visit.remote_host,
        "SERVER_NAME": name.strip("[]"),
        "SERVER_PORT": port or "",
        "SERVER_PROTOCOL": visit.request.protocol,
        "GATEWAY_INTERFACE": "websocketd-CGI/0.1" if strict else "CGI/1.1",
        "REQUEST_METHOD": visit.request.method,
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path_info,
        "PATH_TRANSLATED": visit.path,
        "QUERY_STRING": visit.query,
        **dict.fromkeys(_EMPTY, ""),
        "UNIQUE_ID": visit.id,
        "REMOTE_PORT": visit.remote_port,
        "REQUEST_URI": visit.target,
    }
    if visit.tls:
        result["HTTPS"] = "on"
    result |= header_variables(visit, strict=strict)
    return {key: clean(value) for key, value in result.items()}
