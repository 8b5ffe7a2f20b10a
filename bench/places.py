"""Where the bench finds and puts things."""

from __future__ import annotations

import os
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
CACHE = ROOT / ".cache" / "bench"
BIN = Path(os.environ.get("BENCH_BIN", CACHE / "bin"))
SERVERS = BENCH / "servers"
CLIENTS = BENCH / "clients"
RESULTS = BENCH / "results"
#: Where duologue is taken from; another checkout's, built, to compare two versions.
SOURCES = Path(os.environ.get("BENCH_SOURCES", ROOT / "src")).resolve()

#: One interpreter for duologue and its Python peers.
PYTHON = Path(os.environ.get("BENCH_PYTHON", CACHE / "venv" / "bin" / "python"))
NODE_MODULES = CACHE / "node" / "node_modules"
