"""Says where a row's time, system calls or memory go in one scenario.

    python bench/profiling.py c "duologue callback (duologue)" --versus "raw epoll (C)"
    python bench/profiling.py pipelined "duologue (duologue)"      # a client
    python bench/profiling.py topics-1000 duologue --versus bun    # topics
    python bench/profiling.py --missed                             # every target missed so far

Time comes from perf's clock (kernel included), as µs per message by library and by function;
system calls from strace; memory of an idle connection from the blocks alive, by size. Writes
bench/results/profile-*.txt.
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import clients
import handlers
import hosts
import parts
import programs
import topics
from measure import (
    GENERATOR_CORE,
    SERVER_CORE,
    Failed,
    Running,
    free_port,
    measure,
    pinned,
    ticks,
)
from peers import SERVERS_BY_NAME, Server, environment
from places import BIN, CLIENTS, PYTHON, RESULTS
from report import machine, plain
from scenarios import MEMORY, SCENARIOS, TAIL, Scenario
from targets import judge

SECONDS = 3.0
#: Samples a second; a prime, so that it beats with nothing.
FREQUENCY = 4999
MOST = 45
#: Idle connections whose memory is looked at.
HELD = 1000
#: A block of memory counts as a connection's if at least so many of them have one.
SHARE = 0.05
#: What scenarios of other parts begin with here.
HOSTS = "hosts-"
TOPICS = "topics-"
PROGRAMS = "programs-"
HANDLERS = "handlers-"


def _perf(file: Path, pids: Sequence[int], seconds: float) -> subprocess.Popen[bytes]:
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(FREQUENCY), "-g"]
    command += ["-o", str(file), "-p", ",".join(str(pid) for pid in pids)]
    return subprocess.Popen(
        [*command, "--", "sleep", str(seconds)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _shares(file: Path, *options: str) -> list[tuple[float, str]]:
    """Return perf's report: percent and name, largest first."""
    command = ["perf", "report", "-i", str(file), "--stdio", "-g", "none", "--percent-limit", "0.3"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    found = []
    for line in done.stdout.splitlines():
        match = re.match(r"\s+([\d.]+)%(?:\s+[\d.]+%)?\s+(\S.*?)\s*$", line)
        if match:
            found.append((float(match[1]), re.sub(r"\s{2,}", "  ", match[2])))
    return found


def _tables(file: Path, cpu_us: float) -> list[str]:
    """Return the profile as tables of µs per message."""
    lines = []
    for title, options in (
        ("library", ("--no-children", "--sort", "dso")),
        ("function, without what it calls", ("--no-children", "--sort", "symbol,dso")),
        ("function, with what it calls", ("--children", "--sort", "symbol,dso")),
    ):
        lines += ["", f"µs/message  share  by {title}"]
        for percent, name in _shares(file, *options)[:MOST]:
            lines.append(f"{cpu_us * percent / 100:10.3f} {percent:5.1f}%  {name}")
    return lines


def _heads(what: str, figures: dict[str, Any], before: Any, after: Any) -> list[str]:
    user, system = after[0] - before[0], after[1] - before[1]
    return [
        f"== {what}",
        f"messages/s {plain(figures['per_second'])}, µs CPU/message {plain(figures['cpu_us'])},"
        f" of that in the kernel {system / max(user + system, 1):.0%}",
    ]


def server_time(server: Server, scenario: Scenario, kind: type[Running] = Running) -> list[str]:
    """Return where a server's time goes."""
    with tempfile.TemporaryDirectory() as folder, kind(server, scenario) as running:
        file = Path(folder) / "perf.data"
        running.wait_until_listening()
        measure(running, scenario, 0.3)
        pids = running.pids()
        before = ticks(pids)
        perf = _perf(file, pids, 1.2 * SECONDS) if shutil.which("perf") else None
        figures = measure(running, scenario, SECONDS)
        after = ticks(pids)
        lines = _heads(f"{scenario.key}: {scenario.title}: {server.name}", figures, before, after)
        if perf is None:
            return [*lines, "perf is not installed: no functions"]
        perf.wait()
        return lines + _tables(file, figures["cpu_us"])


def server_calls(server: Server, scenario: Scenario, kind: type[Running] = Running) -> list[str]:
    """Return a server's system calls by message."""
    if shutil.which("strace") is None:
        return ["strace is not installed: no system calls"]
    with tempfile.TemporaryDirectory() as folder, kind(server, scenario) as running:
        running.wait_until_listening()
        measure(running, scenario, 0.3)
        file = Path(folder) / "strace"
        command = ["strace", "-f", "-q", "-c", "-U", "calls,name", "-o", str(file)]
        command += [word for pid in running.pids() for word in ("-p", str(pid))]
        strace = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        arguments = [*scenario.arguments, "--duration", "1", "--warmup", "0"]
        if scenario.figure == TAIL:  # its rate would be far too high under strace
            arguments[0] = "echo"
        generator = [str(BIN / "generator"), arguments[0], "--port", str(running.port)]
        done = subprocess.run(
            pinned(GENERATOR_CORE, [*generator, *arguments[1:]]), capture_output=True, text=True
        )
        strace.send_signal(signal.SIGINT)
        strace.wait(10)
        count = re.search(r'"count": (\d+)', done.stdout)
        if count is None:
            return ["", f"system calls: {done.stderr.strip() or 'the generator said nothing'}"]
        lines = ["", "calls/message  system call (under strace; opening the connections included)"]
        for number, name in re.findall(r"^\s*(\d+)\s+(\w+)$", file.read_text(), re.MULTILINE):
            if name != "total" and int(number) / int(count[1]) >= 0.001:
                lines.append(f"{int(number) / int(count[1]):13.3f}  {name}")
        return lines


def _alive(running: Running, file: Path) -> dict[str, int]:
    file.unlink(missing_ok=True)
    running.process.send_signal(signal.SIGUSR2)
    for _ in range(100):
        time.sleep(0.05)
        if file.exists() and file.read_text().endswith("\n"):
            break
    return {
        name: int(value)
        for name, _, value in (line.partition(": ") for line in file.read_text().splitlines())
    }


def server_memory(server: Server, scenario: Scenario) -> list[str]:
    """Return the blocks of memory that an idle connection holds, by size."""
    words = list(scenario.arguments)
    words[words.index("--connections") + 1] = str(HELD)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "alive"
        variables = {"LD_PRELOAD": str(BIN / "counter.so"), "COUNTER_FILE": str(file)}
        variables |= {"COUNTER_ALIVE": "1", "PYTHONMALLOC": "malloc"}
        # taskset must not be counted: its file would be the server's.
        counted = Server(
            server.name,
            lambda variant: [
                "env",
                *(f"{name}={value}" for name, value in variables.items()),
                *server.command(variant),
            ],
            server.setup,
        )
        with Running(counted, scenario) as running:
            running.wait_until_listening()
            command = [str(BIN / "generator"), words[0], "--port", str(running.port), *words[1:]]
            for _ in range(2):  # the first ones leave caches behind
                before = _alive(running, file)
                with subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                ) as generator:
                    assert generator.stdout is not None
                    if generator.stdout.readline() != "ready\n":
                        raise Failed("the generator was not ready")
                    time.sleep(0.5)
                    after = _alive(running, file)
                    generator.communicate()
                time.sleep(1)
    each = (after["octets"] - before["octets"]) / HELD
    lines = [f"== {scenario.key}: {scenario.title}: {server.name}"]
    lines += [f"octets of malloc alive per connection: {each:,.0f}", ""]
    lines.append("blocks/connection  octets up to (the last: 8 KiB and more)")
    del after["octets"]
    for size in sorted(after, key=int):
        share = (after[size] - before.get(size, 0)) / HELD
        if abs(share) >= SHARE:
            lines.append(f"{share:17.2f}  {int(size) + 15:,}")
    return lines


def client_time(name: str, mode: str) -> list[str]:
    """Return where a client's time goes."""
    port = free_port()
    words = clients.rows()[name]
    command = [str(PYTHON), str(CLIENTS / words[0]), "--port", str(port), "--mode", mode]
    command += ["--seconds", str(SECONDS), *words[1:]]
    spinning = [str(BIN / "raw_epoll"), "--port", str(port), "--spin"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "perf.data"
        with subprocess.Popen(pinned(GENERATOR_CORE, spinning)) as server:
            time.sleep(0.3)
            found = clients.measure(words, mode, port, 1.0)
            with subprocess.Popen(
                pinned(SERVER_CORE, command), env=environment(), stdout=subprocess.DEVNULL
            ) as client:
                time.sleep(0.5)
                before = ticks([client.pid])
                perf = _perf(file, [client.pid], 0.9 * SECONDS)
                perf.wait()
                after = ticks([client.pid])
            server.kill()
        return _heads(f"client, {mode}: {name}", found, before, after) + _tables(
            file, found["cpu_us"]
        )


def topics_time(name: str, key: str) -> list[str]:
    """Return where the time of all processes of a server with topics goes."""
    scenario = topics.SCENARIOS[key]
    with tempfile.TemporaryDirectory() as folder, topics.Subscribed(name, scenario) as server:
        file = Path(folder) / "perf.data"
        server.connect()
        pids = server.pids()
        before = ticks(pids)
        perf = _perf(file, pids, 1.2 * SECONDS)
        figures = server.measure(SECONDS)
        after = ticks(pids)
        lines = _heads(f"topics: {scenario.title}: {name}", figures, before, after)
        perf.wait()
        lines += ["", "µs/message  share  by process and library"]
        for percent, where in _shares(file, "--no-children", "--sort", "comm,dso"):
            lines.append(f"{figures['cpu_us'] * percent / 100:10.3f} {percent:5.1f}%  {where}")
        return lines + _tables(file, figures["cpu_us"])


def profile(key: str, name: str) -> list[str]:
    """Return the profile of a row in a scenario."""
    if key in clients.MODES:
        return client_time(name, key)
    if key.startswith(HOSTS):
        server = next(server for server in hosts.ROWS if server.name == name)
        scenario = next(one for one in hosts.SCENARIOS if HOSTS + one.key == key)
        return server_time(server, scenario) + server_calls(server, scenario)
    if key.startswith(TOPICS):
        return topics_time(name, key.removeprefix(TOPICS))
    if key.startswith(PROGRAMS):
        server = programs.servers("cat")[name]
        scenario = programs.SCENARIOS[key.removeprefix(PROGRAMS)]
        alone = programs.Alone
        return server_time(server, scenario, alone) + server_calls(server, scenario, alone)
    if key.startswith(HANDLERS):
        server = handlers.servers()[name]
        scenario = handlers.SCENARIOS[key.removeprefix(HANDLERS)]
        anywhere = handlers.kind(scenario)
        return server_time(server, scenario, anywhere) + server_calls(server, scenario, anywhere)
    server, scenario = SERVERS_BY_NAME[name], SCENARIOS[key]
    if scenario.figure == MEMORY:
        return server_memory(server, scenario)
    return server_time(server, scenario) + server_calls(server, scenario)


def _scenarios() -> list[str]:
    prefixed = [HOSTS + one.key for one in hosts.SCENARIOS]
    prefixed += [TOPICS + key for key in topics.SCENARIOS]
    prefixed += [HANDLERS + key for key in handlers.SCENARIOS]
    return [*SCENARIOS, *clients.MODES, *prefixed, PROGRAMS + "lines", PROGRAMS + "ping-pong"]


_PARTS = ("servers", "clients", "growth", "hosts", "topics", "programs", "handlers")


def _missed() -> list[tuple[str, list[str]]]:
    known = {name: parts.load(name) for name in _PARTS}
    found: dict[str, list[str]] = {}
    for one in judge({name: part for name, part in known.items() if part is not None}):
        if one.met is not False:
            continue
        # Growth is in how the many are served: the scenario with a thousand.
        key = "f" if one.target.part == "growth" else one.target.scenario
        prefixes = {
            "hosts": HOSTS,
            "topics": TOPICS,
            "programs": PROGRAMS,
            "handlers": HANDLERS,
        }
        key = prefixes.get(one.target.part, "") + key
        rows = found.setdefault(key, [])
        ours = one.row or one.target.row
        rows += [name for name in (ours, one.versus) if name and name not in rows]
    return list(found.items())


def write(key: str, names: Sequence[str]) -> Path:
    """Profile rows in a scenario; return the path of what was written."""
    facts = [f"{name}: {value}" for name, value in machine().items()]
    lines = ["\n".join(facts)]
    for name in names:
        try:
            lines += ["", *profile(key, name)]
        except (Failed, subprocess.SubprocessError, OSError) as error:
            lines += ["", f"== {key}: {name}: {error}"]
    slug = re.sub(r"[^a-z0-9]+", "-", names[0].lower()).strip("-")
    path = RESULTS / f"profile-{key}-{slug}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
    return path


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="?", choices=_scenarios())
    parser.add_argument("row", nargs="?")
    parser.add_argument("--versus", nargs="+", default=[], metavar="ROW")
    parser.add_argument("--missed", action="store_true")
    arguments = parser.parse_args()
    if arguments.missed:
        todo = _missed()
    elif arguments.scenario and arguments.row:
        todo = [(arguments.scenario, [arguments.row, *arguments.versus])]
    else:
        parser.error("give a scenario and a row, or --missed")
    for key, names in todo:
        print(write(key, names), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
