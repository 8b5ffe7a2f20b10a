"""Tables read the same way round, whatever the figure."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("bench_modules")

RAW, OURS, PEER = "raw epoll (C)", "duologue coroutine (asyncio)", "websockets"


def rounds(per_second: float, cpu: float) -> list[dict[str, float]]:
    more = {"p50_us": 1.0, "p99_us": 2.0, "p999_us": 3.0, "spare": 0.5, "octets_in": 34.0}
    return [{"per_second": per_second, "cpu_us": cpu, "kb": cpu, **more}] * 3


def cells(text: str, name: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("key", ["b", "e", "g"])
def test_above_one_is_better(key: str) -> None:
    import report
    import scenarios

    rows = {RAW: rounds(400, 5), OURS: rounds(200, 10), PEER: rounds(100, 20)}
    text = report.table(scenarios.SCENARIOS[key], rows)
    assert "ratio to websockets" in text
    assert cells(text, OURS)[2:4] == ["0.50 (0.50–0.50)", "2.00 (2.00–2.00)"]
    order = [line.split("|")[1].strip() for line in text.splitlines()[4:]]
    assert order == [RAW, OURS, PEER]


def test_without_raw_and_peers() -> None:
    import report
    import scenarios

    text = report.table(scenarios.SCENARIOS["b"], {OURS: rounds(200, 10)})
    assert cells(text, OURS)[2:4] == ["–", "–"]
