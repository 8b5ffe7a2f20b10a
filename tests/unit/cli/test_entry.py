from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from duologue.cli import entry, main
from duologue.version import version


def test_version(run):
    result = run("--version")
    assert result.returncode == 0
    assert result.stdout.decode().strip() == f"duologue {version}"


def test_the_installed_command_is_the_module():
    command = shutil.which("duologue", path=sys.prefix + "/bin")
    if command is None:
        pytest.skip("the package is not installed here")
    result = subprocess.run([command, "--version"], capture_output=True, text=True)
    assert result.stdout == f"duologue {version}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["serve"], ["connect"], ["demo", "extra"], ["demo", "--port", "65536"]],
)
def test_wrong_usage_is_2(run, arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert b"usage: duologue" in result.stderr
    assert result.stdout == b""


@pytest.mark.parametrize("command", ["connect", "serve", "demo", "bench"])
def test_help(run, command):
    result = run(command, "--help")
    assert result.returncode == 0
    assert b"usage: duologue " + command.encode() in result.stdout


def test_a_url_is_a_command(run):
    named = run("connect", "ws://127.0.0.1:1/")
    bare = run("WS://127.0.0.1:1/")
    assert named.returncode == bare.returncode == 1
    assert b"cannot connect to WS://127.0.0.1:1/" in bare.stderr


def test_failures_are_one_line_and_1(capsys):
    assert main(["serve", "no_such_module:handler"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("duologue: there is no module 'no_such_module'")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "bare"),
    [
        (["ws://host/"], True),
        (["WSS://host/", "-v"], True),
        (["-H", "X: y", "ws://host/"], True),
        (["connect", "ws://host/"], False),
        (["bench", "ws://host/"], False),
        (["--version"], False),
        (["-h"], False),
        ([], False),
    ],
)
def test_is_bare(words, bare):
    assert entry._is_bare(words) is bare


def test_only_what_is_wanted_is_imported():
    program = (
        "import sys; from duologue.cli import main\n"
        "try: main(['connect', 'http://x'])\n"
        "except SystemExit: pass\n"
        "names = 'demo', 'serve', 'bench', 'connect.editor'\n"
        "print([name for name in names if f'duologue.cli.{name}' in sys.modules])\n"
        "print('prompt_toolkit' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "[]\nFalse\n"
