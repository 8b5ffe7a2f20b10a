"""Takes the programs out of Markdown pages and runs them as a reader would.

A program is a fenced Python block that opens with its file's name: ``# echo_server.py``. One whose
name ends in ``_server.py`` runs until the page has been read; the others run to their end, and what
they print must be the ``text`` block that follows. Port 8000 is replaced by a free one.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PAGE_PORT = "8000"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# (\w+\.py)\n")


@dataclass(frozen=True)
class Program:
    """A program of a page, and what the page says it prints."""

    name: str
    code: str
    output: str | None

    @property
    def is_server(self) -> bool:
        return self.name.endswith("_server.py")


def blocks(text: str) -> list[tuple[str, str]]:
    """Return language and content of every fenced block, in order."""
    return [(match.group(1), match.group(2)) for match in _BLOCK.finditer(text)]


def programs(text: str) -> list[Program]:
    """Return the programs of a page; a Python block without a name is an error."""
    found = []
    everything = blocks(text)
    for number, (language, code) in enumerate(everything):
        if language != "python":
            continue
        name = _NAME.match(code)
        if name is None:
            raise ValueError(f"a Python block must open with its file's name: {code[:60]!r}")
        following = everything[number + 1] if number + 1 < len(everything) else ("", "")
        output = following[1] if following[0] == "text" else None
        found.append(Program(name.group(1), code, output))
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_listening(port: int, process: subprocess.Popen[str]) -> None:
    """Return when somebody listens on the port; raise if the process ends first."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nobody listens on port {port}")


class Reader:
    """Runs the programs of one page in a folder of its own; leaves no process behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_server()

    def stop_server(self) -> None:
        """End the page's running server as Ctrl-C does."""
        if self.server is not None:
            self.server.send_signal(signal.SIGINT)
            try:
                self.server.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.communicate()
            self.server = None

    def run(self, program: Program) -> None:
        """Run a program; raise AssertionError unless it does what its page says."""
        path = self.folder / program.name
        path.write_text(program.code.replace(PAGE_PORT, str(self.port)), encoding="utf-8")
        command = [sys.executable, "-W", "error", path.name]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        if program.is_server:
            self.stop_server()
            self.server = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            wait_until_listening(self.port, self.server)
            return
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, f"{program.name}: {done.stderr}"
        if program.output is not None:
            assert done.stdout == program.output, f"{program.name}: {done.stderr}"
