"""Results as client processes and the observer tell them, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from loadgen.latency import Latencies, encode
from loadgen.observer import difference
from loadgen.report import Result, build
from loadgen.settings import LoadSettings
from loadgen.window import MEASURED

COUNTERS = {
    "role": "leader", "cpu_seconds": 0.0, "rss_bytes": 1 << 25, "rss_peak_bytes": 1 << 26, "frames_out": 0, "frames_in": 0, "sends": 0, "commands": 0,
    "bytes_sent": 0, "syscalls": {}, "turn_marks": 1, "turn_seconds_since_mark": 0.004, "turn_cpu_seconds_since_mark": 0.003,
    "batch_delay_seconds": 0.0,
}  # fmt: skip
LATER = {
    **COUNTERS,
    "cpu_seconds": 1.0,
    "frames_out": 10,
    "frames_in": 20,
    "sends": 10,
    "commands": 400,
    "bytes_sent": 5000,
    "syscalls": {"send": 40},
}


def client_result(rows: list[tuple[int, int, int]], *, start: float = 100.0, milliseconds: int = 2, cpu_seconds: float = 0.5) -> dict[str, Any]:
    """One client process's result; a row is (operations, fast, slow)."""
    operations = sum(row[0] for row in rows)
    latencies = {name: Latencies() for name in MEASURED}
    for latency in latencies.values():
        latency.fold({milliseconds * 1000: operations // 4})
    return {
        "start": start, "end": start + len(rows) / 10, "operations": operations, "failed": 0, "unknown": 0, "rows": rows, "written": operations // 2,
        "latency_us": {name: latency.total_us() for name, latency in latencies.items()},
        "latencies": {name: encode(latency.histogram()) for name, latency in latencies.items()}, "cpu_seconds": cpu_seconds, "rss_bytes": 1 << 26,
        "reasons": {}, "drained": {"operations": 0, "us_max": 0},
    }  # fmt: skip


def built(results: list[dict[str, Any]], *, cores: int = 2, floors: dict[str, float] | None = None) -> Result:
    """The result of a run of four replicas; the last but one did not answer, and the last was restarted in the window."""
    operations = sum(result["operations"] for result in results)
    replicas = [{"id": number, **difference(COUNTERS, LATER, operations), "rss_series": [[0.0, 1]]} for number in range(2)]
    return build(
        settings=LoadSettings(local=3).as_json(),
        results=results,
        replicas=[
            *replicas,
            {"id": 2, **difference(None, None, operations), "rss_series": []},
            {"id": 3, **difference(LATER, COUNTERS | {"role": "follower"}, operations), "rss_series": [[0.0, 1]]},
        ],
        machine={"cores": cores, "processor": "a <processor>", "system": "Linux", "python": "CPython"},
        version="1.2.3",
        commit=None,
        floors=floors,
    )
