"""Prints how long `import duologue` takes: the median of nine fresh interpreters."""

from __future__ import annotations

import statistics
import subprocess
import sys

PROGRAM = "from time import perf_counter as t; s = t(); import duologue; print(t() - s)"


def main() -> None:
    """Measure and print."""
    times = [
        float(subprocess.check_output([sys.executable, "-c", PROGRAM], text=True)) for _ in range(9)
    ]
    print(f"import duologue: {statistics.median(times) * 1000:.1f} ms (median of {len(times)})")


if __name__ == "__main__":
    main()
