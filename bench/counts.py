"""Counts instead of timing: instructions, system calls and allocations per message of the echo.

    python bench/counts.py

Two runs of different length are subtracted from each other, so that starting, connecting and
stopping cancel out. Messages come one at a time, and in bursts of sixteen. What other programs do
meanwhile changes nothing, so these figures may be compared between versions, and gate them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import parts
from measure import Failed, free_port
from peers import SERVERS_BY_NAME, Server, Variant, environment
from places import BIN
from report import machine
from targets import CALLBACK, COROUTINE

#: Messages of the short and of the long run.
SHORT, LONG = 1600, 4800
#: What would make one run's count differ from the next: order of sets, and looking before a wait.
FIXED = {"PYTHONHASHSEED": "0", "BENCH_BUSY_POLL": "0"}
WAYS = {"one at a time": ("--depth", "1"), "bursts of 16": ("--depth", "16", "--burst")}
DEFAULT_ROWS = ("raw epoll (C)", "duologue", "picows (uvloop)", "websockets (uvloop)")
QUICK_ROWS = (CALLBACK, COROUTINE)


@dataclass(frozen=True)
class Tool:
    """A program that runs another one and counts something of it; {file} is where it tells."""

    name: str
    what: str
    pattern: str
    command: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)

    def missing(self) -> bool:
        """Return whether it cannot be used here."""
        return not ((BIN / "counter.so").exists() if not self.command else shutil.which(self.name))

    def read(self, text: str) -> float:
        """Return the total that the tool's file tells."""
        found = re.findall(self.pattern, text, re.MULTILINE)
        if not found:
            raise Failed(f"{self.name} counted nothing")
        return sum(float(value) for value in found)


def _counter(what: str, word: str) -> Tool:
    # Python's own allocator would hide nearly all allocations from malloc.
    variables = {"COUNTER_FILE": "{file}", "PYTHONMALLOC": "malloc"}
    variables["LD_PRELOAD"] = str(BIN / "counter.so")
    return Tool("counter.so", what, rf"^{word}: (\d+)$", variables=variables)


INSTRUCTIONS = Tool(
    "valgrind",
    "instructions/message",
    r"^totals: (\d+)$",
    ("valgrind", "--tool=callgrind", "--callgrind-out-file={file}"),
)
SYSTEM_CALLS = Tool(
    "strace",
    "system calls/message",
    r"^ *(\d+) total",
    ("strace", "-f", "-c", "-U", "calls,name", "-o", "{file}"),
)
ALLOCATIONS = _counter("allocations/message", "allocations")
#: System calls without strace, which not every container allows: those of epoll and sockets.
SOCKET_CALLS = _counter("socket and epoll calls/message", "calls")
TOOLS = (INSTRUCTIONS, SYSTEM_CALLS, ALLOCATIONS)


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


def told(tool: Tool, server: Server, way: tuple[str, ...], messages: int) -> str:
    """Return what the tool tells when a server has echoed that many messages and stopped."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "counts"
        command = [word.format(file=path) for word in tool.command]
        variables = {name: word.format(file=path) for name, word in tool.variables.items()}
        process = subprocess.Popen(
            [*command, *server.command(Variant(port))],
            env=environment() | FIXED | server.variables | variables,
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
            _stop(process, traced=tool is SYSTEM_CALLS)
            return path.read_text()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


def _stop(process: subprocess.Popen[bytes], traced: bool) -> None:
    """End what the tool runs, so that the tool can tell; strace passes no signal on."""
    pids = [str(process.pid)]
    if traced:
        pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in pids:
        subprocess.run(["kill", f"-{signal.SIGTERM}", pid], check=True)
    process.wait(60)


def per_message(
    tools: Sequence[Tool],
    server: Server,
    way: tuple[str, ...],
    short: int = SHORT,
    long: int = LONG,
) -> list[float]:
    """Return the counts for one message more.

    Args:
        tools: what is counted; all by the same program, which runs once for all of them.
        server: the server.
        way: one of WAYS.
        short: messages of the short run.
        long: messages of the long run.
    """
    longer = told(tools[0], server, way, long)
    shorter = told(tools[0], server, way, short)
    return [(tool.read(longer) - tool.read(shorter)) / (long - short) for tool in tools]


def page(part: Mapping[str, Any]) -> str:
    """Return the table of a run."""
    heads = part["counted"]
    lines = ["### Counts", "", "| server | " + " | ".join(heads) + " |"]
    lines.append("|---" * (len(heads) + 1) + "|")
    for name, found in part["results"].items():
        cells = [f"{found[head]:,.2f}" if head in found else "–" for head in heads]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(f"\n- {note}" for note in part["notes"])]) + "\n"


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", nargs="+", metavar="TEXT", default=DEFAULT_ROWS)
    parser.add_argument("--quick", action="store_true", help="only our rows on our loop")
    parser.add_argument("--part", default="counts", help="file in .cache/bench/parts")
    arguments = parser.parse_args()
    tools = [tool for tool in TOOLS if not tool.missing()]
    part: dict[str, Any] = {
        "machine": machine(),
        "counted": [f"{tool.what}, {way}" for tool in tools for way in WAYS],
        "notes": [f"{tool.name} is not installed" for tool in TOOLS if tool not in tools],
        "results": {},
    }
    texts = QUICK_ROWS if arguments.quick else arguments.servers
    for name, server in SERVERS_BY_NAME.items():
        chosen = any(text in name for text in texts) and "tuned" not in name and not server.only
        if not chosen or server.missing():
            continue
        found = part["results"][name] = {}
        for tool in tools:
            for way, options in WAYS.items():
                try:
                    [found[f"{tool.what}, {way}"]] = per_message([tool], server, options)
                except (Failed, subprocess.SubprocessError) as error:
                    part["notes"].append(f"{name}, {tool.name}: {error}")
                    print(part["notes"][-1], file=sys.stderr)
        print(name, found, file=sys.stderr, flush=True)
        parts.save(arguments.part, part)
    print("# Counts\n", page(part), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
