"""The quick part of the Autobahn|Testsuite; ``make conformance`` runs all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".cache" / "autobahn" / "bin" / "wstest"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if not INSTALLED.exists():
        pytest.fail("run conformance/install_autobahn.py first; make test does")
    command = [sys.executable, "-m", "conformance.run_autobahn", "--out", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("role", ["server", "client"])
def test_every_case_passes(role: str, tmp_path: Path) -> None:
    done = run(tmp_path / "reports", "--quick", "--role", role)
    assert done.returncode == 0, done.stdout + done.stderr
    # 301 cases without 12 and 13, all twelve configurations at four sizes, and two large ones.
    assert f"{role}: 351 of 351 cases" in done.stdout, done.stdout


@pytest.mark.parametrize(("front_end", "cases"), [("pywebsocket", 108), ("websocketd", 99)])
def test_front_ends_do_what_is_expected(front_end: str, cases: int, tmp_path: Path) -> None:
    done = run(tmp_path / "reports", "--quick", "--front-end", front_end)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"server: {cases} of {cases} cases" in done.stdout, done.stdout


def test_a_front_end_that_does_better_or_worse_fails(tmp_path: Path) -> None:
    """A name on the list is no excuse for anything else, a success included."""
    arguments = ["--front-end", "pywebsocket", "--testee", "conformance/echo_server.py"]
    done = run(tmp_path / "reports", *arguments, "--cases", "1.1.1,4.2.1,7.9.1,12.1.1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "server 1.1.1" not in done.stdout
    for case in ("4.2.1", "7.9.1", "12.1.1"):
        assert f"server {case}: OK, close OK" in done.stdout, done.stdout
    assert "but expected was FAILED, close WRONG CODE with code 1000, since" in done.stdout


def test_a_broken_server_fails(tmp_path: Path) -> None:
    testee = ["--role", "server", "--testee", "conformance/broken_echo.py"]
    done = run(tmp_path / "reports", *testee, "--cases", "1.1.1,1.1.2,1.2.1,2.2,6.3.1")
    assert done.returncode == 1, done.stdout + done.stderr
    failed = [line for line in done.stdout.splitlines() if "FAILED, close" in line]
    # A text came back shortened, a ping was answered by an empty pong, wrong UTF-8 was not refused.
    for case in ("1.1.2", "2.2", "6.3.1"):
        assert any(f"server {case}:" in line for line in failed), done.stdout
    # A close frame was not answered, in all the time that the suite was told to wait.
    assert "server 1.2.1: OK, close UNCLEAN with code None" in done.stdout
