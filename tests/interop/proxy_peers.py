"""Real proxies, each a process of its own on a loopback port with a configuration of its own.

Nothing here touches a service of the system: what is started is ended, and writes only into the
test's folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .peer import TlsFiles

PATIENCE = 15.0
"""Seconds for a proxy to begin listening, and to end."""


@dataclass(frozen=True)
class Setup:
    """What a proxy is to be started with.

    Attributes:
        folder: For its files; it may write there whoever it runs as.
        port: Where to listen on 127.0.0.1.
        credentials: User name and password that it wants.
        tls: Key and certificate for TLS with clients.
    """

    folder: Path
    port: int
    credentials: tuple[str, str] | None = None
    tls: TlsFiles | None = None

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return str(path)


def program(name: str) -> str:
    """Find a program, also where only root looks; skip without it, fail under ``CI=true``."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        reason = f"{name} is not on this machine"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


def squid(setup: Setup) -> list[str]:
    """The command of squid, the HTTP proxy of Debian's package ``squid``."""
    listen = f"http_port 127.0.0.1:{setup.port}"
    if setup.tls is not None:
        certificate = setup.write("tls.pem", setup.tls.certificate.read_text())
        listen = f"https_port 127.0.0.1:{setup.port} tls-cert={certificate}"
    access = "http_access allow localhost"
    if setup.credentials is not None:
        user, password = setup.credentials
        hashed = subprocess.check_output(["openssl", "passwd", "-apr1", password], text=True)
        users = setup.write("users", f"{user}:{hashed}")
        access = (
            f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {users}\n"
            "acl known proxy_auth REQUIRED\nhttp_access allow known"
        )
    configuration = f"""
        {listen}
        {access}
        http_access deny all
        visible_hostname localhost
        pid_filename {setup.folder}/squid.pid
        access_log none
        cache_log {setup.folder}/cache.log
        cache_store_log none
        coredump_dir {setup.folder}
        netdb_filename none
        cache deny all
        pinger_enable off
        shutdown_lifetime 0 seconds
        connect_retries 0
    """
    lines = "\n".join(line.strip() for line in configuration.splitlines())
    return [program("squid"), "-N", "-f", setup.write("squid.conf", lines)]


def tinyproxy(setup: Setup) -> list[str]:
    """The command of tinyproxy, the HTTP proxy of Debian's package ``tinyproxy``."""
    lines = [f"Port {setup.port}", "Listen 127.0.0.1", "Timeout 60", "MaxClients 50"]
    if setup.credentials is not None:
        lines.append("BasicAuth {} {}".format(*setup.credentials))
    return [program("tinyproxy"), "-d", "-c", setup.write("tinyproxy.conf", "\n".join(lines))]


def microsocks(setup: Setup) -> list[str]:
    """The command of microsocks, the SOCKS5 proxy of Debian's package ``microsocks``."""
    command = [program("microsocks"), "-i", "127.0.0.1", "-p", str(setup.port)]
    if setup.credentials is not None:
        command += ["-u", setup.credentials[0], "-P", setup.credentials[1]]
    return command


def dante(setup: Setup) -> list[str]:
    """The command of Dante, the SOCKS4 and SOCKS5 proxy of Debian's package ``dante-server``."""
    configuration = f"""
        logoutput: {setup.folder}/dante.log
        internal: 127.0.0.1 port = {setup.port}
        external: 127.0.0.1
        clientmethod: none
        socksmethod: none
        client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
        socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 protocol: tcp }}
    """
    path = setup.write("danted.conf", configuration)
    return [program("danted"), "-f", path, "-p", f"{setup.folder}/danted.pid", "-N", "1"]


Maker = Callable[[Setup], list[str]]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(
    maker: Maker,
    *,
    port: int | None = None,
    credentials: tuple[str, str] | None = None,
    tls: TlsFiles | None = None,
) -> Iterator[int]:
    """Run a proxy; yields its port when it listens."""
    # Not pytest's folder, which is for its owner only: some of them give up root's rights.
    with tempfile.TemporaryDirectory(prefix="duologue-proxy-") as folder:
        Path(folder).chmod(0o777)
        setup = Setup(Path(folder), port or free_port(), credentials, tls)
        yield from _run(maker(setup), setup)


def _run(command: list[str], setup: Setup) -> Iterator[int]:
    with open(setup.folder / "output", "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=setup.folder,
        )
    try:
        _wait_for(process, setup)
        yield setup.port
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], setup: Setup) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", setup.port), 1).close()
            return
        time.sleep(0.02)
    said = (setup.folder / "output").read_text(errors="replace")
    for log in setup.folder.glob("*.log"):
        said += log.read_text(errors="replace")
    pytest.fail(f"{process.args!r} does not listen: {said[-2000:]}", pytrace=False)
