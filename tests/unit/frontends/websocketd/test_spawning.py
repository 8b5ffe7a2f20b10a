"""Starting programs, and what becomes of them when their server is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("duologue run needs a POSIX system", allow_module_level=True)

from duologue.frontends.websocketd.spawning import keep_descriptors, spawn
from duologue.frontends.websocketd.warden import Warden

ENVIRONMENT = {"PATH": os.environ["PATH"], "WORD": "w"}


def outcome(*command, directory=None, session=True, environment=ENVIRONMENT):
    """What a program writes, and its exit status."""
    number, (into, out, errors) = spawn(command, environment, session=session, directory=directory)
    for fd in (into, errors):
        os.close(fd)
    with open(out, "rb") as file:
        text = file.read().decode()
    return text, os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


@pytest.fixture(params=["posix_spawn", "subprocess"])
def way(request, monkeypatch):
    """Both ways to start a program."""
    if request.param == "subprocess":

        def lacking(*arguments, **options):
            raise NotImplementedError

        monkeypatch.setattr(os, "posix_spawn", lacking)


@pytest.mark.usefixtures("way")
class TestSpawn:
    def test_its_words_and_environment(self):
        script = 'echo "$0 $WORD $HOME."; exit 3'
        assert outcome("sh", "-c", script, "a b") == ("a b w .\n", 3)

    def test_its_streams(self):
        number, (into, out, errors) = spawn(
            ["sh", "-c", "cat; echo e >&2"], ENVIRONMENT, session=True
        )
        os.write(into, b"in")
        os.close(into)
        for fd, expected in ((out, b"in"), (errors, b"e\n")):
            with open(fd, "rb") as file:
                assert file.read() == expected
        os.waitpid(number, 0)

    def test_a_session_of_its_own(self):
        script = "import os; print(os.getsid(0) == os.getpgrp() == os.getpid())"
        assert outcome(sys.executable, "-c", script) == ("True\n", 0)
        script = "import os; print(os.getpgrp())"
        assert outcome(sys.executable, "-c", script, session=False) == (f"{os.getpgrp()}\n", 0)

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux tells in /proc")
    def test_signals_that_python_ignores(self):
        found, _ = outcome("grep", "SigIgn", "/proc/self/status")
        ignored = int(found.split()[1], 16)
        assert not ignored >> (signal.SIGPIPE - 1) & 1
        assert not ignored >> (signal.SIGXFSZ - 1) & 1

    def test_no_other_descriptors(self):
        fd = os.open(os.devnull, os.O_RDONLY)
        os.set_inheritable(fd, True)
        script = f"import os; print(os.path.exists('/dev/fd/{fd}'))"
        try:
            keep_descriptors()
            assert not os.get_inheritable(fd)
            assert outcome(sys.executable, "-c", script) == ("False\n", 0)
        finally:
            os.close(fd)

    def test_a_directory(self, tmp_path):
        found, _ = outcome("pwd", directory=str(tmp_path))
        assert os.path.samefile(found.rstrip("\n"), tmp_path)

    def test_what_cannot_be_started(self, tmp_path):
        plain = tmp_path / "plain"
        plain.write_text("")
        before = len(os.listdir("/dev/fd"))
        for command, error in (
            (["/no/such/program"], FileNotFoundError),
            (["no-such-program"], FileNotFoundError),
            ([str(plain)], PermissionError),
            (["echo", "a\0b"], ValueError),
        ):
            with pytest.raises(error):
                spawn(command, ENVIRONMENT, session=True)
        assert len(os.listdir("/dev/fd")) == before


class TestWarden:
    def sleeper(self):
        return subprocess.Popen(["sleep", "1000"], start_new_session=True)

    def test_it_kills_what_is_left(self):
        warden = Warden()
        left, forgotten, reused = (self.sleeper() for _ in range(3))
        try:
            warden.watch(left.pid)
            warden.watch(forgotten.pid)
            warden.forget(forgotten.pid)
            warden.watch(reused.pid)
            # As if we were dead.
            warden.close()
            assert left.wait(20) == reused.wait(20) == -signal.SIGKILL
            assert forgotten.poll() is None
        finally:
            for each in (left, forgotten, reused):
                each.kill()
                each.wait()

    def test_another_takes_over(self):
        warden = Warden()
        one, two = self.sleeper(), self.sleeper()
        try:
            warden.watch(one.pid)
            process = warden._process
            assert process is not None
            process.kill()
            process.wait()
            warden.watch(two.pid)
            warden.close()
            assert one.wait(20) == two.wait(20) == -signal.SIGKILL
        finally:
            for each in (one, two):
                each.kill()
                each.wait()
