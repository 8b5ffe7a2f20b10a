from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench"


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the generator and the raw server, compiled for the tests."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("the bench needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("bench")
    done = subprocess.run([BENCH / "build.sh", folder], capture_output=True, text=True)
    if "No such file" in done.stderr and os.environ.get("CI") != "true":
        pytest.skip("the headers of OpenSSL and zlib are missing")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def bench_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets the bench's modules be imported, as its scripts import each other."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))
    yield
    for name in set(sys.modules) - before:
        if str(BENCH) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
