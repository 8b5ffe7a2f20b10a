"""CGI programs below the prefixes of ``--cgi-paths``.

Nothing else is ever run. A program gets the server's environment and the variables of CGI; of the
request's headers only those that CGI names, so no ``HTTP_PROXY`` of a peer's (httpoxy). Started by
root it runs as ``nobody``.

Source: RFC 3875.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import subprocess
import time
from typing import Any
from urllib.parse import unquote

from duologue.base.limits import DEFAULT_LIMITS
from duologue.frontends.pywebsocket.config import Config

__all__ = ["find_program", "run_program"]

CGI_TIMEOUT = 60.0
"""Seconds that a program may take between two pieces of its answer until it is killed."""

_HEADERS = {
    "Accept": "HTTP_ACCEPT",
    "Cookie": "HTTP_COOKIE",
    "Host": "HTTP_HOST",
    "Referer": "HTTP_REFERER",
    "User-Agent": "HTTP_USER_AGENT",
    "Content-Type": "CONTENT_TYPE",
    "Content-Length": "CONTENT_LENGTH",
}


def find_program(target: str, config: Config) -> str | None:
    """Returns the program that a target means; ``None`` if it is a file, or nothing.

    Args:
        target: Path and query of a request.
        config: Has prefixes and document root.
    """
    path = unquote(target.partition("?")[0])
    parts = path.split("/")
    if ".." in parts or "\0" in path:
        return None
    path = posixpath.normpath(path)
    root = config.document_root
    for prefix in config.cgi_paths:
        inside = "/" + prefix.strip("/") + "/"
        if root is not None and path.startswith(inside):
            file = os.path.join(root, path.lstrip("/"))
            if os.path.isfile(file) and os.access(file, os.X_OK):
                return os.path.abspath(file)
    return None


def _environment(answerer: Any) -> dict[str, str]:
    path, _, query = answerer.path.partition("?")
    host, port = answerer.visit.local_addr
    variables = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "QUERY_STRING": query,
        "REMOTE_ADDR": str(answerer.visit.remote_addr[0]),
        "REQUEST_METHOD": answerer.command,
        "SCRIPT_NAME": unquote(path),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": answerer.protocol_version,
        "SERVER_SOFTWARE": answerer.version_string(),
    }
    for header, variable in _HEADERS.items():
        variables[variable] = answerer.headers.get(header, "")
    if answerer.config.tls is not None:
        variables["HTTPS"] = "on"
    return {**os.environ, **variables}


def _nobody() -> int | None:
    """Returns whom a program is to run as; ``None`` for ourselves."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return 1 + max(entry.pw_uid for entry in pwd.getpwall())


def _body(answerer: Any) -> bytes | None:
    """Returns the request's body; ``None`` after answering that it is none."""
    text = answerer.headers.get("Content-Length", "0")
    limit = DEFAULT_LIMITS.max_body
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        answerer.send_error(400, explain="Bad Content-Length")
    elif limit is not None and int(text) > limit:
        answerer.send_error(413, explain=f"Body is over max_body ({limit} bytes)")
    else:
        answerer.rfile.read_until(time.monotonic() + answerer.config.open_timeout)
        body: bytes = answerer.rfile.read(int(text))
        answerer.rfile.read_until(None)
        return body
    return None


def run_program(answerer: Any, program: str) -> None:
    """Answers a request with what a program writes, its own headers first.

    Args:
        answerer: Has read the request.
        program: Path of the program.
    """
    body = _body(answerer)
    if body is None:
        return
    answerer.send_response(200, "Script output follows")
    answerer.flush_headers()
    try:
        process = subprocess.Popen(
            [program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(answerer),
            cwd=os.path.dirname(program),
            user=_nobody(),
        )
    except OSError as error:
        answerer.log_error("CGI program %s can't be run: %s", program, error)
        return
    with process:
        try:
            output, _ = process.communicate(body, timeout=CGI_TIMEOUT)
            answerer.wfile.write(output)
        except (subprocess.TimeoutExpired, OSError) as error:
            answerer.log_error("CGI program %s: %s", program, error)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
