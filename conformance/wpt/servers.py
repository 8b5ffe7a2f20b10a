"""The servers of web-platform-tests: pywebsocket3 with the handlers of the tests.

All listen on loopback; the names that tests use for them are resolved by the runner alone.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import trustme

HOST = "web-platform.test"
ALTERNATIVE = "not-web-platform.test"
ADDRESS = "127.0.0.1"


@dataclass
class Surroundings:
    """Where tests run: ports of their servers, and what trusts them."""

    ports: dict[str, int]
    trust: ssl.SSLContext

    def fields(self) -> dict[str, str]:
        """What stands for ``{{...}}``."""
        found = {f"ports[{name}][0]": str(port) for name, port in self.ports.items()}
        return {"host": HOST, **found, "hosts[alt][]": ALTERNATIVE}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((ADDRESS, 0))
        return int(sock.getsockname()[1])


def make_certificate(directory: Path) -> ssl.SSLContext:
    """Write ``server.pem`` and ``key.pem``; return what trusts them."""
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST, f"*.{HOST}", ALTERNATIVE)
    certificate.cert_chain_pems[0].write_to_path(directory / "server.pem")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return trust


@contextlib.contextmanager
def serve_handlers(root: Path, directory: Path) -> Iterator[Surroundings]:
    """Run the tests' servers."""
    trust = make_certificate(directory)
    handlers = root / "websockets" / "handlers"
    ports = {"ws": free_port(), "wss": free_port(), "http": free_port(), "https": free_port()}
    common = [sys.executable, "-W", "ignore", "-m", "pywebsocket3.standalone", "-H", ADDRESS]
    common += ["-w", str(handlers), "-d", str(handlers), "--log-level", "critical"]
    secure = ["-t", "-k", str(directory / "key.pem"), "-c", str(directory / "server.pem")]
    servers = []
    with (directory / "server.log").open("w") as log:
        for name, more in (("ws", []), ("wss", secure)):
            command = [*common, "-p", str(ports[name]), *more]
            servers.append(subprocess.Popen(command, stdout=log, stderr=log))
        try:
            for name in ("ws", "wss"):
                wait_for_port(ports[name])
            yield Surroundings(ports, trust)
        finally:
            for server in servers:
                server.kill()
                server.wait()


def wait_for_port(port: int) -> None:
    """Wait until a server listens."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((ADDRESS, port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"the tests' server does not listen on {port}")
