"""Far apart: what do causal and strong commands cost?

``python -m tests.chaos.wan --delay-ms 25``: every pair of replicas, and the client and every replica but its home (replica 1, a follower), are
``delay`` apart, one way.  A causal command must cost a local round trip, a strong one a single long round trip, its slow path would be two.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import trio

LOAD = ["--clients", "1", "--threads", "4", "--pendings", "4"]


async def measure(delay_seconds: float, load: list[str], folder: Path) -> dict[str, Any]:
    """Run the experiment.

    Args:
        delay_seconds: one way, each way, on every long line.
        load: flags of ``triskele load``.
        folder: for the result.

    Returns:
        The load generator's result.

    Raises:
        RuntimeError: the load failed.
    """
    result = folder / "result.json"
    command = [sys.executable, "-m", "triskele", "load", "--local", "3", "--durability", "memory", "--delay-ms", str(1000 * delay_seconds)]
    finished = await trio.run_process([*command, "--json", str(result), *load], check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"the load ended with status {finished.returncode}")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def verdict(result: dict[str, Any], delay_seconds: float) -> tuple[float, float]:
    """Return the medians of causal and strong commands, in long round trips."""
    latency, trip = result["latency_ms"], 2000 * delay_seconds
    return latency["causal"]["p50"] / trip, latency["strong"]["p50"] / trip


def main() -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay-ms", type=float, default=25.0, help="one way, each way (default 25)")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured (default 8)")
    arguments = parser.parse_args()
    delay = arguments.delay_ms / 1000
    with tempfile.TemporaryDirectory() as folder:
        load = [*LOAD, "--seconds", str(arguments.seconds), "--warmup-seconds", "2"]
        result = trio.run(measure, delay, load, Path(folder))
    causal, strong = verdict(result, delay)
    causal_ms = causal * 2 * arguments.delay_ms
    print(f"one-way delay {arguments.delay_ms:g} ms: causal p50 {causal_ms:.2f} ms, strong p50 {strong:.2f} long round trips")
    return 0 if causal_ms < 2.0 and strong < 1.5 else 1


if __name__ == "__main__":
    sys.exit(main())
