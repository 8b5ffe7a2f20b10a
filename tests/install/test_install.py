"""`pip install` into empty environments: what comes along, what an import costs, that it works.

The sources are copied first, so that nothing that was built in place gets into the wheel. Every
CPython >= 3.11 of the machine gets an environment and one conversation.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ["src", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DESCRIBE = """
import json, os, sys, sysconfig, importlib.util
header = os.path.join(sysconfig.get_path("include"), "Python.h")
print(json.dumps([
    sys.implementation.name == "cpython" and sys.version_info >= (3, 11)
    and os.path.exists(header) and importlib.util.find_spec("ensurepip") is not None,
    ".".join(map(str, sys.version_info[:2])),
]))
"""


def interpreters() -> list[Path]:
    """Return one usable CPython for each minor version on the machine, this one's included."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    paths = [Path(sys.executable)]
    paths += [path for folder in folders for path in sorted(folder.glob("python3.[0-9]*"))]
    paths += sorted(Path.home().glob(".pyenv/versions/*/bin/python"))
    found: dict[str, Path] = {}
    for path in paths:
        if not re.fullmatch(r"python[\d.]*", path.name):
            continue
        try:
            done = subprocess.run(
                [str(path), "-c", DESCRIBE], capture_output=True, text=True, timeout=20
            )
            usable, version = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            continue
        if usable:
            found.setdefault(version, path)
    return list(found.values())


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command outside of the checkout; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= variables
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def make_environment(python: Path, folder: Path) -> Path:
    run(python, "-m", "venv", folder / "env", cwd=folder)
    return folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"


def copy_sources(folder: Path) -> Path:
    target = folder / "sources"
    target.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, target / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The interpreter of an environment that has only duologue and what it depends on."""
    folder = tmp_path_factory.mktemp("install")
    python = make_environment(Path(sys.executable), folder)
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "wheel", "--no-deps", "-w", folder, copy_sources(folder), cwd=folder)
    [wheel] = folder.glob("duologue-*.whl")
    run(*pip, "install", wheel, cwd=folder)
    yield python


def test_only_the_core_dependencies_come_along(installed: Path) -> None:
    listed = run(installed, "-m", "pip", "list", "--format=json", cwd=installed.parent)
    names = {entry["name"].lower().replace("_", "-") for entry in json.loads(listed)}
    assert names - {"pip", "setuptools"} == {"duologue", "httptools", "zlib-ng"}


def test_the_wheel_has_stubs_and_no_sources(installed: Path) -> None:
    [wheel] = installed.parents[2].glob("duologue-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    modules = [
        path.relative_to(ROOT / "src").with_suffix("").as_posix()
        for path in (ROOT / "src").rglob("*.pyx")
    ]
    assert modules
    for module in modules:
        assert f"{module}.pyi" in names
        assert any(re.fullmatch(rf"{module}\.[^/]+\.(so|pyd)", name) for name in names)
    assert "duologue/py.typed" in names
    assert [name for name in names if name.endswith((".c", ".pyx", ".pxd", ".h"))] == []
    assert any(name.endswith("LICENSE") for name in names)
    # What a server shows in a browser comes along too.
    data = [
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.suffix in {".html", ".css", ".js", ".svg", ".ico"}
    ]
    assert [name for name in data if name not in names] == []


def test_a_conversation(installed: Path) -> None:
    printed = run(installed, ROOT / "tools" / "smoke.py", cwd=installed.parent)
    assert "7 messages echoed" in printed


def test_the_command_is_there(installed: Path) -> None:
    printed = run(installed.parent / "duologue", "--help", cwd=installed.parent)
    assert "demo" in printed and "serve" in printed and "connect" in printed


def test_an_import_brings_nothing_heavy(installed: Path) -> None:
    program = "import sys; old = set(sys.modules); import duologue; print(*set(sys.modules) - old)"
    loaded = set(run(installed, "-c", program, cwd=installed.parent).split())
    assert "duologue" in loaded
    assert loaded & {"asyncio", "ssl", "socket", "zlib_ng", "httptools", "logging"} == set()


def test_an_import_is_quick(installed: Path) -> None:
    program = "from time import perf_counter as t; s = t(); import duologue; print(t() - s)"
    times = [float(run(installed, "-c", program, cwd=installed.parent)) for _ in range(7)]
    # The best of seven says what it costs; the others say what else the machine was doing.
    assert min(times) < 0.060


@pytest.mark.parametrize(
    "python", [path for path in interpreters() if path != Path(sys.executable)], ids=str
)
def test_other_interpreters(python: Path, tmp_path: Path) -> None:
    environment = make_environment(python, tmp_path)
    pip = (environment, "-m", "pip", "--disable-pip-version-check", "--quiet")
    # How hard the compiler tries to optimize says nothing about a version, and takes a minute.
    debugging = {"DUOLOGUE_DEBUG_BUILD": "1"}
    run(*pip, "install", copy_sources(tmp_path), cwd=tmp_path, **debugging)
    printed = run(environment, ROOT / "tools" / "smoke.py", cwd=tmp_path)
    assert "7 messages echoed" in printed
