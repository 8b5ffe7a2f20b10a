"""Runs one server on one core and the generator on the other, and reads what comes out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from peers import Server, Variant, environment
from places import BIN, CACHE
from scenarios import MEMORY, TAIL, Scenario

SERVER_CORE, GENERATOR_CORE = 0, 1
START_SECONDS = 30.0
PATIENCE = 40.0


class Failed(Exception):
    """A measurement that says nothing: the server or the generator failed."""


def pinned(core: int | None, command: list[str]) -> list[str]:
    """Return the command bound to a core, if there is one and there are two to choose from."""
    cores = sorted(os.sched_getaffinity(0))
    if core is None or len(cores) < 2:
        return command
    return ["taskset", "-c", str(cores[core]), *command]


def free_port() -> int:
    """Return a TCP port that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def certificate() -> str:
    """Return the path of a self-signed certificate with its key, made once."""
    path = CACHE / "localhost.pem"
    if not path.exists():
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"]
        command += ["-subj", "/CN=localhost", "-keyout", f"{path}.key", "-out", f"{path}.crt"]
        subprocess.run(command, check=True, capture_output=True)
        path.write_text(Path(f"{path}.key").read_text() + Path(f"{path}.crt").read_text())
    return str(path)


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                found += [int(child), *_children(int(child))]
    return found


def ticks(pids: Sequence[int]) -> tuple[int, int]:
    """Return the ticks that processes have spent in user and in system mode."""
    user = system = 0
    for pid in pids:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user, system = user + int(words[11]), system + int(words[12])
    return user, system


def processor_seconds(running: Running) -> float:
    """Return the time that the server's processes have spent on a processor."""
    return sum(ticks(running.pids())) / os.sysconf("SC_CLK_TCK")


class Running:
    """A server process (and its workers) listening on a port of its own.

    It is stopped with SIGSTOP while others are measured, so that no timer of it takes their time.
    """

    #: The cores of the server and of the generator; None for any.
    cores: tuple[int | None, int | None] = (SERVER_CORE, GENERATOR_CORE)

    def __init__(self, server: Server, scenario: Scenario) -> None:
        self.server = server
        self.port = free_port()
        tls = certificate() if "--tls" in scenario.arguments else None
        command = server.command(Variant(self.port, scenario.deflate, tls))
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self.process = subprocess.Popen(
            pinned(self.cores[0], command),
            env=environment() | server.variables,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_until_listening(self) -> None:
        """Return when it accepts connections.

        Raises:
            Failed: If it ends, or does not within 30 s.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"{self.server.name} ended at once: {self.last_words()}")
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.02)
        raise Failed(f"{self.server.name} does not listen: {self.last_words()}")

    def last_words(self) -> str:
        """Return the error that the server printed last, or its last line."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        errors = [line for line in lines if "Error" in line]
        return (errors or lines or ["(it printed nothing)"])[-1]

    def pids(self) -> list[int]:
        """Return the server's process and its workers."""
        return [self.process.pid, *_children(self.process.pid)]

    def memory_kb(self) -> int:
        """Return the resident memory of all the server's processes, shared parts included."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    total += int(line.split()[1])
        return total

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def freeze(self) -> None:
        """Let it have no processor time."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it and its workers at once: nothing of it is wanted any more."""
        self._signal(signal.SIGKILL)
        self.process.wait()
        self._log.close()


def _generator(running: Running, arguments: list[str]) -> subprocess.Popen[str]:
    command = [str(BIN / "generator"), arguments[0], "--port", str(running.port), *arguments[1:]]
    for pid in running.pids():
        command += ["--pid", str(pid)]
    return subprocess.Popen(
        pinned(running.cores[1], command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def generate(running: Running, arguments: list[str]) -> dict[str, Any]:
    """Run the generator against a server and return its JSON.

    Raises:
        Failed: If anything was not as it should be; a reply that differs included.
    """
    process = _generator(running, arguments)
    try:
        out, error = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failed("the generator does not end") from None
    if process.returncode != 0:
        raise Failed(error.strip() or f"the generator ended with {process.returncode}")
    result: dict[str, Any] = json.loads(out)
    return result


def _memory(running: Running, arguments: list[str], connections: int) -> dict[str, Any]:
    """Return KB per idle connection, what a first few connections cost once left out."""
    warm = list(arguments)
    warm[warm.index("--connections") + 1] = "50"
    _hold(running, warm)
    before = running.memory_kb()
    after = _hold(running, arguments)
    return {MEMORY: (after - before) / connections}


def _hold(running: Running, arguments: list[str]) -> int:
    """Open idle connections, read the server's memory, let them go."""
    process = _generator(running, arguments)
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "ready\n":
            raise Failed(process.communicate()[1].strip())
        memory = running.memory_kb()
        process.communicate(timeout=PATIENCE)
        return memory
    finally:
        process.kill()
        process.wait()


def measure(running: Running, scenario: Scenario, seconds: float) -> dict[str, Any]:
    """Measure one server once.

    Args:
        running: The server.
        scenario: What to do to it.
        seconds: How long, the warm-up of a fifth of it not included.

    Returns:
        The generator's figures; the one that counts is under ``scenario.figure``.

    Raises:
        Failed: If it says nothing.
    """
    arguments = list(scenario.arguments)
    if scenario.figure == MEMORY:
        connections = int(arguments[arguments.index("--connections") + 1])
        return _memory(running, arguments, connections)
    arguments += ["--duration", str(seconds), "--warmup", str(seconds / 5)]
    if scenario.figure == TAIL:
        closed = generate(running, ["echo", *arguments[1:]])
        arguments += ["--rate", str(0.7 * closed["per_second"])]
        return generate(running, arguments) | {"maximum": closed["per_second"]}
    return generate(running, arguments)
