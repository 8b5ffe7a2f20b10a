"""Fuzzes one target with Atheris: ``python -m fuzz.one TARGET [LIBFUZZER OPTION ...] FOLDER ...``.

Python code is instrumented as it is imported. Compiled modules count too when they were built with
Clang's ``-fsanitize=fuzzer-no-link``: they look for libFuzzer among the symbols of the process.
Atheris loads it when fuzzing begins, here for all to see; so the target is imported after that, by
its first input.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]


@functools.cache
def target(name: str) -> Callable[[bytes], None]:
    """Import the target of that name."""
    with atheris.instrument_imports(include=["duologue", "fuzz"]):
        from fuzz.targets import TARGETS

    return TARGETS[name]


def main() -> None:
    """Fuzz until told to stop, or until something is wrong."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, lambda data: target(name)(data))
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
