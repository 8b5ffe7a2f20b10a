"""Counts instead of timing: instructions and system calls per message of the echo servers.

    python bench/counts.py

Two runs of different length are subtracted from each other, so that starting, connecting and
stopping cancel out. Messages come one at a time, and in bursts of sixteen. What other programs do
meanwhile changes nothing, so these figures may be compared between versions, and gate them.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Failed, free_port
from peers import SERVERS_BY_NAME, Server, Variant, environment
from places import BIN, RESULTS
from report import machine

#: Messages of the short and of the long run.
SHORT, LONG = 1600, 4800
WAYS = {"one at a time": ["--depth", "1"], "bursts of 16": ["--depth", "16", "--burst"]}
DEFAULT_ROWS = ("raw epoll (C)", "duologue", "picows (uvloop)", "websockets (uvloop)")


@dataclass(frozen=True)
class Tool:
    """A program that runs another one and counts something of it."""

    name: str
    what: str
    command: tuple[str, ...]
    pattern: str

    def read(self, text: str) -> float:
        """Return the total that the tool's file tells."""
        found = re.findall(self.pattern, text, re.MULTILINE)
        if not found:
            raise Failed(f"{self.name} counted nothing")
        return sum(float(value) for value in found)


TOOLS = (
    Tool(
        "valgrind",
        "instructions/message",
        ("valgrind", "--tool=callgrind", "--callgrind-out-file={file}"),
        r"^totals: (\d+)$",
    ),
    Tool(
        "strace",
        "system calls/message",
        ("strace", "-f", "-c", "-U", "calls,name", "-o", "{file}"),
        r"^ *(\d+) total",
    ),
)


def _wait_until_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Failed("the server ended at once")
        command = [str(BIN / "generator"), "echo", "--port", str(port), "--messages", "1"]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return
        time.sleep(0.2)
    raise Failed("the server does not answer")


def total(tool: Tool, server: Server, way: list[str], messages: int) -> float:
    """Return what the tool counts while a server echoes that many messages and stops."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "counts"
        command = [word.format(file=path) for word in tool.command]
        process = subprocess.Popen(
            [*command, *server.command(Variant(port))],
            env=environment() | {"PYTHONHASHSEED": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait_until_answers(port, process)
            generator = [str(BIN / "generator"), "echo", "--port", str(port), *way]
            subprocess.run(
                [*generator, "--messages", str(messages)], check=True, capture_output=True
            )
            _stop(process)
            return tool.read(path.read_text())
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End what the tool runs, so that the tool can tell; strace passes no signal on."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in children or [str(process.pid)]:
        subprocess.run(["kill", f"-{signal.SIGTERM}", pid], check=True)
    process.wait(60)


def per_message(tool: Tool, server: Server, way: list[str]) -> float:
    """Return the count for one message more."""
    longer = total(tool, server, way, LONG)
    return (longer - total(tool, server, way, SHORT)) / (LONG - SHORT)


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", nargs="+", metavar="TEXT", default=DEFAULT_ROWS)
    parser.add_argument("--output", type=Path, default=RESULTS / "counts.md")
    arguments = parser.parse_args()
    tools = [tool for tool in TOOLS if shutil.which(tool.name)]
    facts = machine()
    heads = ["server", *(f"{tool.what}, {way}" for tool in tools for way in WAYS)]
    lines = ["# Counts\n", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    lines += [f"- left out: {tool.name} is not installed" for tool in TOOLS if tool not in tools]
    lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    results: dict[str, dict[str, Any]] = {}
    for name, server in SERVERS_BY_NAME.items():
        if not any(text in name for text in arguments.servers) or server.missing():
            continue
        found = results[name] = {}
        for tool in tools:
            for way, options in WAYS.items():
                try:
                    found[f"{tool.what}, {way}"] = per_message(tool, server, options)
                except (Failed, subprocess.SubprocessError) as error:
                    print(f"{name}, {tool.name}: {error}", file=sys.stderr)
        cells = [f"{found[head]:,.2f}" if head in found else "–" for head in heads[1:]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        print(lines[-1], file=sys.stderr, flush=True)
    text = "\n".join(lines) + "\n"
    print(text)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text, encoding="utf-8")
    everything = json.dumps({"machine": facts, "results": results}, indent=1)
    arguments.output.with_suffix(".json").write_text(everything + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
