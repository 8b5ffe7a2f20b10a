"""As many live connections as the machine lets processes have: what each of them costs.

    python bench/many.py --connections 100000

Every connection needs a descriptor in a server and one in a generator, and the limit of descriptors
counts for each process: so there are several of both, each server on a port of its own, and the
generators dial from 127.0.0.2 to 127.0.0.201. A connection counts if, after all have been opened,
one more message goes through it and back. Memory of the kernel is that of both ends.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import parts
from measure import GENERATOR_CORE, Failed, Running, pinned
from peers import SERVERS_BY_NAME
from places import BIN
from report import machine, plain
from scenarios import Scenario
from targets import CALLBACK, COROUTINE

#: Descriptors that a server or a generator needs for itself.
RESERVE = 64
PAGE = resource.getpagesize()


def kernel_memory() -> dict[str, float]:
    """Return what the kernel uses, in KB."""
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("Slab", "PageTables", "Percpu"):
            found[name] = float(value.split()[0])
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        words = line.split()
        if words[0] == "TCP:":
            found["TCP buffers"] = float(words[words.index("mem") + 1]) * PAGE / 1024
    return found


def sockets() -> int:
    """Return how many TCP sockets are in use on the machine."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        words = line.split()
        if words[0] == "TCP:":
            return int(words[words.index("inuse") + 1])
    return 0


class Holder:
    """A generator that holds connections to one server."""

    def __init__(self, running: Running, connections: int) -> None:
        command = [str(BIN / "generator"), "idle", "--port", str(running.port)]
        command += ["--connections", str(connections), "--messages", "1"]
        self.process = subprocess.Popen(
            pinned(GENERATOR_CORE, command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def exchange(self) -> None:
        """Ask for another message on every connection."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def wait_until_ready(self) -> None:
        """Return when every connection has had its message.

        Raises:
            Failed: If one of them has not.
        """
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise Failed(self.process.communicate()[1].strip())


def hold(name: str, connections: int) -> dict[str, Any]:
    """Open the connections, use each of them, and return what they cost."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE
    count = math.ceil(connections / limit)
    shares = [connections // count + (number < connections % count) for number in range(count)]
    scenario = Scenario("many", "idle", ("idle",))
    with ExitStack() as stack:
        servers = [
            stack.enter_context(Running(SERVERS_BY_NAME[name], scenario)) for _ in range(count)
        ]
        for running in servers:
            running.wait_until_listening()
            with Holder(running, 50) as warm:
                warm.wait_until_ready()
        time.sleep(1)
        memory, kernel, inuse = sum(one.memory_kb() for one in servers), kernel_memory(), sockets()
        began = time.monotonic()
        holders = []
        for running, share in zip(servers, shares, strict=True):
            holders.append(stack.enter_context(Holder(running, share)))
            holders[-1].wait_until_ready()
        opened = time.monotonic() - began
        after, kernel_after = sum(one.memory_kb() for one in servers), kernel_memory()
        in_use = sockets() - inuse
        began = time.monotonic()
        for holder in holders:
            holder.exchange()
        for holder in holders:
            holder.wait_until_ready()
        used = time.monotonic() - began
    return {
        "connections": connections,
        "processes": count,
        "tcp_sockets": in_use,
        "seconds_to_open": opened,
        "seconds_to_use_all": used,
        "kb": (after - memory) / connections,
        "kernel_kb": {
            kind: (value - kernel[kind]) / connections for kind, value in kernel_after.items()
        },
    }


def page(part: Mapping[str, Any]) -> str:
    """Return the table of a run."""
    rows = part["results"]
    kinds = list(next(iter(rows.values()))["kernel_kb"]) if rows else []
    heads = ["server", "live connections", "server processes", "KB/connection in the servers"]
    heads += [f"{kind}, KB/connection (both ends)" for kind in kinds]
    heads += ["seconds to open all", "seconds for a message on each"]
    lines = ["### As many live connections as descriptors allow", ""]
    lines += [f"- descriptors a process: {part['descriptors']}", ""]
    lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, one in rows.items():
        cells = [f"{one['connections']:,}", str(one["processes"]), plain(one["kb"])]
        cells += [plain(one["kernel_kb"][kind]) for kind in kinds]
        cells += [plain(one["seconds_to_open"]), plain(one["seconds_to_use_all"])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(f"\n- {note}" for note in part["notes"])]) + "\n"


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument(
        "--servers", nargs="+", default=[CALLBACK, COROUTINE], choices=list(SERVERS_BY_NAME)
    )
    parser.add_argument("--part", default="many", help="file in .cache/bench/parts")
    arguments = parser.parse_args()
    part: dict[str, Any] = {
        "machine": machine(),
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "notes": [],
        "results": {},
    }
    for name in arguments.servers:
        try:
            part["results"][name] = hold(name, arguments.connections)
        except Failed as error:
            part["notes"].append(f"{name}: {error}")
            print(f"{name}: {error}", file=sys.stderr)
        parts.save(arguments.part, part)
    print("# Many\n", page(part), sep="\n")
    return 0 if len(part["results"]) == len(arguments.servers) else 1


if __name__ == "__main__":
    sys.exit(main())
