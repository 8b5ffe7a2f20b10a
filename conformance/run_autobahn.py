r"""Runs the Autobahn|Testsuite against the echo server and the echo client, and judges the result.

    python -m conformance.run_autobahn
        all 517 cases, both roles
    python -m conformance.run_autobahn --quick
        1-7, 9, 10 and a sample of 12 and 13
    python -m conformance.run_autobahn --role server --cases '6.*,7.*'
        only as a server, and only these
    python -m conformance.run_autobahn --front-end pywebsocket
        or websocketd; with --quick some of their cases
    python -m conformance.run_autobahn --testee 'conformance/echo_server.py --library websockets' \
        --role server

A case passes when its behaviour *and* the way its connection closed are OK or INFORMATIONAL:
FAILED, NON-STRICT, UNIMPLEMENTED, WRONG CODE, UNCLEAN and a missing result do not. What front-ends
are expected to do otherwise stands in ``deviations.py``, and must be just that. Exit status 0: all
cases passed, or ended as expected; 1: some did not; 2: the run itself went wrong.

Both roles run at the same time, each in two shares: the suite computes on one core only, and waits
in some cases. All cases take about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

from conformance.deviations import FRONT_ENDS, Deviation, FrontEnd

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WSTEST = ROOT / ".cache" / "autobahn" / "bin" / "wstest"
PASSED = {"OK", "INFORMATIONAL"}
AGENT = "testee"

# Cases 12 and 13 are the slow ones (1,000 messages each, up to 128 KiB): they go by themselves.
SHARES = ("1.*,2.*,3.*,4.*,5.*,6.*,7.*,9.*,10.*,13.*", "12.*")
SIZES = (1, 4, 7, 9)
SAMPLE = [f"12.{group}.{size}" for group in range(1, 6) for size in SIZES]
SAMPLE += [f"13.{group}.{size}" for group in range(1, 8) for size in SIZES]
QUICK = ("1.*,2.*,3.*,4.*,5.*,6.*,7.*,9.*,10.*", ",".join([*SAMPLE, "12.1.18", "13.3.18"]))

# Seconds that the suite waits for the other end's Close frame, and as a client for the end of TCP.
# Its library rounds down the time at which the first of them is over to a whole second. With one
# second, its default, the answer to a Close frame sent shortly before a second ends comes too late.
PATIENCE = {"closeHandshakeTimeout": 5}
CLIENT_PATIENCE = {**PATIENCE, "serverConnectionDropTimeout": 5}


@dataclasses.dataclass
class Share:
    """The outcome of one run of the suite with some of the cases."""

    role: str
    front_end: FrontEnd | None = None
    results: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    wanted: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def failures(self) -> list[str]:
        """Return a line for each case that did not pass."""
        lines = []
        for case in sorted(self.wanted, key=lambda case: [int(part) for part in case.split(".")]):
            result = self.results.get(case)
            if result is None:
                lines.append(f"{self.role} {case}: no result")
                continue
            outcome = (result["behavior"], result["behaviorClose"], result["remoteCloseCode"])
            line = f"{self.role} {case}: {outcome[0]}, close {outcome[1]} with code {outcome[2]}"
            expected, passed = self.expected(case), set(outcome[:2]) <= PASSED
            if expected is None and not passed:
                lines.append(line)
            elif (
                expected
                and outcome != (expected.behavior, expected.close, expected.code)
                and not (passed and expected.may_pass)
            ):
                lines.append(f"{line}; but expected was {expected}, since {expected.why}")
        return lines

    def expected(self, case: str) -> Deviation | None:
        """Return how a case is to end that needn't pass."""
        return self.front_end.deviation(case) if self.front_end else None


def free_port() -> int:
    """Return a port of the system's choice; the suite's server cannot choose one itself."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for_port(port: int, server: subprocess.Popen[str]) -> None:
    """Wait until somebody listens on the port, the server has ended or 30 seconds have gone."""
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if server.poll() is not None:
                return
            time.sleep(0.1)
        else:
            return


def stop(process: subprocess.Popen[str]) -> None:
    """End a process that was started here."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_suite(
    mode: str, spec: dict[str, Any], folder: Path, log: IO[str]
) -> subprocess.Popen[str]:
    """Start ``wstest`` with a specification."""
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    command = [str(WSTEST), "-m", mode, "-s", str(path)]
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)


def judge_server(testee: list[str], spec: dict[str, Any], folder: Path, log: IO[str]) -> int:
    """Let the suite's client loose on the server under test; return the suite's status."""
    with subprocess.Popen(testee, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            spec["servers"] = [{"agent": AGENT, "url": url}]
            spec["options"] = CLIENT_PATIENCE
            suite = start_suite("fuzzingclient", spec, folder, log)
            try:
                return suite.wait()
            finally:
                stop(suite)
        finally:
            stop(server)


def judge_client(testee: list[str], spec: dict[str, Any], folder: Path, log: IO[str]) -> int:
    """Let the client under test talk to the suite's server; return the client's status."""
    port = free_port()
    spec["url"] = f"ws://127.0.0.1:{port}"
    spec["options"] = PATIENCE
    suite = start_suite("fuzzingserver", spec, folder, log)
    try:
        wait_for_port(port, suite)
        return subprocess.run([*testee, spec["url"], AGENT]).returncode
    finally:
        stop(suite)


def run_share(
    role: str, testee: list[str], cases: str, out: Path, front_end: FrontEnd | None
) -> Share:
    """Run some cases in one role and collect what the suite wrote about them."""
    shutil.rmtree(out, ignore_errors=True)
    spec = {
        "outdir": str(out),
        "cases": cases.split(","),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    share = Share(role, front_end)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name, open(Path(name) / "log", "w+") as log:
        run = judge_server if role == "server" else judge_client
        status = run(testee, spec, Path(name), log)
        log.seek(0)
        lines = log.read().splitlines()
    share.seconds = time.monotonic() - started
    for line in lines:
        if line.startswith("Cases = "):
            share.wanted = json.loads(line.removeprefix("Cases = ").replace("'", '"'))
        elif line.startswith("wstest: error"):
            share.problems.append(line[:500])
    index = out / "index.json"
    if index.exists():
        share.results = json.loads(index.read_text()).get(AGENT, {})
    if not index.exists() or not share.wanted:
        share.problems.append("the suite wrote no report:\n" + "\n".join(lines[-20:]))
    if status != 0:
        share.problems.append(f"exit status {status}")
    return share


def run_all(
    plan: list[tuple[str, list[str], str]], out: Path, front_end: FrontEnd | None
) -> list[Share]:
    """Run the shares of a plan at the same time."""
    shares: list[Share | None] = [None] * len(plan)

    def work(number: int) -> None:
        role, testee, cases = plan[number]
        shares[number] = run_share(role, testee, cases, out / f"{role}-{number}", front_end)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(plan))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [share if share is not None else Share("?", problems=["died"]) for share in shares]


def as_expected(shares: list[Share]) -> list[str]:
    """Return a line for each reason for which cases needn't pass, or were not run."""
    found = [share.expected(case) for share in shares for case in share.results]
    counts = collections.Counter(each for each in found if each)
    lines = [f"{count} are to end as {each}: {each.why}" for each, count in counts.items()]
    front_ends = [share.front_end for share in shares if share.front_end]
    left_out = front_ends[0].left_out if front_ends else {}
    return lines + [f"{cases} are left out: {why}" for cases, why in left_out.items()]


def report(shares: list[Share]) -> int:
    """Print the counts and every failure; return the exit status."""
    failures: list[str] = []
    problems: list[str] = []
    for role in sorted({share.role for share in shares}):
        mine = [share for share in shares if share.role == role]
        results = [result for share in mine for result in share.results.values()]
        wanted = sum(len(share.wanted) for share in mine)
        seconds = max(share.seconds for share in mine)
        print(f"{role}: {len(results)} of {wanted} cases in {seconds:.0f} s")
        for key in ("behavior", "behaviorClose"):
            counts = collections.Counter(result[key] for result in results)
            print(f"  {key:14}", "  ".join(f"{name} {n}" for name, n in sorted(counts.items())))
        for line in as_expected(mine):
            print(" ", line)
        for share in mine:
            failures += share.failures()
            problems += [f"{role}: {problem}" for problem in share.problems]
    for line in failures + problems:
        print("NOT OK ", line)
    return 1 if failures else 2 if problems else 0


def main() -> int:
    """Read the arguments, run, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--role", choices=["server", "client", "both"], default="both")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cases", help="patterns, separated by commas")
    parser.add_argument("--testee", help="a script and its arguments, for one role")
    parser.add_argument("--front-end", choices=FRONT_ENDS, help="a server with expectations")
    parser.add_argument("--out", type=Path, default=ROOT / "autobahn-reports")
    arguments = parser.parse_args()
    front_end = FRONT_ENDS.get(arguments.front_end)
    if arguments.testee and arguments.role == "both" and not front_end:
        parser.error("--testee needs --role")
    if not WSTEST.exists():
        parser.error(f"no {WSTEST}: run conformance/install_autobahn.py first")
    shares: tuple[str, ...] = QUICK if arguments.quick else SHARES
    if front_end:
        arguments.role = "server"
        arguments.testee = arguments.testee or str(HERE / front_end.testee)
        shares = front_end.quick if arguments.quick else front_end.shares
    if arguments.cases:
        shares = (arguments.cases,)
    roles = ["server", "client"] if arguments.role == "both" else [arguments.role]
    plan = []
    for role in roles:
        script = shlex.split(arguments.testee or str(HERE / f"echo_{role}.py"))
        plan += [(role, [sys.executable, *script], cases) for cases in shares]
    return report(run_all(plan, arguments.out.absolute(), front_end))


if __name__ == "__main__":
    sys.exit(main())
