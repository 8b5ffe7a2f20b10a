"""Starts the command line as users do: as a process, with ports from the operating system."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

COMMAND = [sys.executable, "-m", "duologue"]


class Server:
    """A ``duologue`` process that serves, and what it prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.first_line = process.stdout.readline().removesuffix("\n")
        self.url = self.first_line

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().removesuffix("\n")

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Sends a signal; returns exit code and what was printed that nobody has read yet."""
        self.process.send_signal(number)
        out, err = self.process.communicate()
        return self.process.returncode, out, err


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts ``duologue`` with the arguments given; returns when it has printed a line.

    With ``merged``, what goes to standard error comes with the output.
    """
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, merged: bool = False, **options: Any) -> Server:
            process = subprocess.Popen(
                [*COMMAND, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                text=True,
                encoding="utf-8",
                **options,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return Server(process)

        yield start


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs ``duologue`` with the arguments given to its end."""

    def run(
        *arguments: str, input: bytes = b"", **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *arguments], input=input, capture_output=True, timeout=30, **options
        )

    return run


class Certificate:
    """A certificate for 127.0.0.1, in files."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1", "localhost")
        self.chain = str(directory / "chain.pem")
        self.key = str(directory / "key.pem")
        self.both = str(directory / "both.pem")
        self.authority = str(directory / "authority.pem")
        for blob in issued.cert_chain_pems:
            blob.write_to_path(self.chain, append=True)
        issued.private_key_pem.write_to_path(self.key)
        issued.private_key_and_cert_chain_pem.write_to_path(self.both)
        authority.cert_pem.write_to_path(self.authority)

    @property
    def trusted(self) -> dict[str, str]:
        """An environment in which programs trust the certificate."""
        return {**os.environ, "SSL_CERT_FILE": self.authority}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))
