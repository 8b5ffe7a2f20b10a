"""Each input that fuzzing has found worth keeping is played again, and all that once failed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "fuzz" / "corpus"
NAMES = sorted(folder.name for folder in CORPUS.iterdir())

pytest.importorskip("websockets")


def targets() -> dict[str, Callable[[bytes], None]]:
    """The targets, which lie outside of the package."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    found: dict[str, Callable[[bytes], None]] = importlib.import_module("fuzz.targets").TARGETS
    return found


def test_every_target_has_a_corpus() -> None:
    assert sorted(targets()) == NAMES
    assert all(any((CORPUS / name).iterdir()) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_corpus(name: str) -> None:
    run = targets()[name]
    for path in sorted((CORPUS / name).iterdir()):
        try:
            run(path.read_bytes())
        except Exception as exc:
            exc.add_note(f"with fuzz/corpus/{name}/{path.name}")
            raise


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 1 << 20
