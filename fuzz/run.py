"""Fuzzes each target for a while: ``python -m fuzz.run [TARGET ...]``, what ``make fuzz`` does.

A copy of the tree is built in ``build/fuzz``, with Clang and coverage of the compiled modules if
there is Clang, else without. New inputs gather in ``.cache/fuzz/TARGET``, where the next run goes
on from; a few of the smallest may be taken into the corpus. An input that makes a target fail is
kept there as ``crash-…``, and belongs into the corpus once its cause is mended.

Environment:
    FUZZ_SECONDS    seconds for each target, 60 by default
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tools.instrumented import ROOT, build, copy_tree

COPY = ROOT / "build" / "fuzz"
CORPUS = ROOT / "fuzz" / "corpus"
FOUND = ROOT / ".cache" / "fuzz"
SECONDS = int(os.environ.get("FUZZ_SECONDS", "60"))
TARGETS = ("connection", "deflate", "grammar", "heads", "machine", "urls")
LONGEST = {"connection": 200, "deflate": 1000, "machine": 1000, "heads": 800}
"""Octets of the longest input that is tried, by target."""


def prepare() -> None:
    """Bring the instrumented copy up to date."""
    copy_tree(COPY)
    if shutil.which("clang") is None:
        print("no clang: the compiled modules are fuzzed, but their coverage guides nothing")
        build(COPY)
        return
    # Atheris counts what is reached, not how deep the stack gets.
    flags = "-O1 -g -fsanitize=fuzzer-no-link -fno-sanitize-coverage=stack-depth"
    build(COPY, CC="clang", LDSHARED="clang -shared", CFLAGS=flags, DUOLOGUE_DEBUG_BUILD="1")


def fuzz(target: str) -> int:
    """Run libFuzzer on one target; return its exit status."""
    found = FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    corpus = CORPUS / target
    corpus.mkdir(parents=True, exist_ok=True)
    longest = LONGEST.get(target, 300)
    command = [sys.executable, "-m", "fuzz.one", target, f"-max_len={longest}", "-timeout=20"]
    command += [f"-max_total_time={SECONDS}"]
    command += [f"-artifact_prefix={found}/", "-rss_limit_mb=2048", "-print_final_stats=1"]
    folders = [str(found), str(corpus)]
    environment = os.environ | {"PYTHONPATH": str(COPY / "src")}
    return subprocess.run([*command, *folders], cwd=COPY, env=environment).returncode


def main() -> int:
    """Fuzz what the command line names, or everything; return 1 if anything failed."""
    targets = [name for name in sys.argv[1:] if name in TARGETS] or TARGETS
    prepare()
    failed = []
    for target in targets:
        print(f"\n== {target}", flush=True)
        if fuzz(target):
            failed.append(target)
    print("\nfailed: " + ", ".join(failed) if failed else "\nnothing found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
