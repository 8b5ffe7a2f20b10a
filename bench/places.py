"""Where the bench finds and puts things."""

from __future__ import annotations

from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
CACHE = ROOT / ".cache" / "bench"
BIN = CACHE / "bin"
SERVERS = BENCH / "servers"
CLIENTS = BENCH / "clients"
RESULTS = BENCH / "results"
SOURCES = ROOT / "src"

#: One interpreter for duologue and its Python peers.
PYTHON = CACHE / "venv" / "bin" / "python"
NODE_MODULES = CACHE / "node" / "node_modules"
