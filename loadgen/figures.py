"""The figures that runs are compared by: taken from one result of ``triskele load``, each a number or nothing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.latency import PERCENTILES
from loadgen.report import GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping

Figures = dict[str, float | None]
"""``{name: number}``; None where a run does not tell it."""

RATE: Final = "throughput_per_second"


@attrs.frozen
class Shown:
    """How a figure is shown.

    Attributes:
        label: With its unit.
        form: Of the number, as ``format`` takes it.
        scale: What the number is multiplied by first.
    """

    label: str
    form: str
    scale: float = 1.0

    def text(self, value: float | None) -> str:
        """Return the number, or a dash for none."""
        return "-" if value is None else format(value * self.scale, self.form)


SHOWN: Final[dict[str, Shown]] = {
    RATE: Shown("commands/s", ",.0f"),
    "strong_p50_ms": Shown("strong p50, ms", ",.2f"),
    "strong_p99_ms": Shown("strong p99, ms", ",.2f"),
    "causal_p50_ms": Shown("causal p50, ms", ",.2f"),
    "causal_p99_ms": Shown("causal p99, ms", ",.2f"),
    "fast_share": Shown("fast, %", ".1f", 100.0),
    "syscalls_per_operation": Shown("leader's calls/command", ".3f"),
    "cpu_us_per_operation": Shown("CPU, us/command", ".1f"),
    "commands_per_frame": Shown("commands/frame", ",.1f"),
    "frames_per_send": Shown("frames/send", ".2f"),
    "turn_seconds_max": Shown("longest turn, ms", ",.1f", 1000.0),
    "turn_cpu_seconds_max": Shown("CPU of a turn at most, ms", ",.1f", 1000.0),
    "codec_floor_share": Shown("of the codec floor, %", ".1f", 100.0),
    "wire_floor_share": Shown("of the wire floor, %", ".1f", 100.0),
}
"""What tables show, in their order; the floors only where they were measured."""


def figures_of(result: Mapping[str, Any]) -> Figures:
    """Take the figures from a result (schema ``triskele.load/1``).

    Returns:
        ``throughput_per_second``; ``<kind>_<percentile>_ms`` for every kind of command; ``fast_share``; of the leader ``syscalls_per_operation``,
        ``leader_cpu_us_per_operation``, ``commands_per_frame``, ``frames_per_send`` and ``batch_delay_seconds``; of all processes
        ``cpu_us_per_operation``, of the clients ``client_cpu_us_per_operation``; over the replicas ``turn_seconds_max``, ``turn_cpu_seconds_max`` and
        ``rss_peak_bytes``; ``failed`` and ``unknown``; each floor ``<floor>_floor_per_second`` and the run's ``<floor>_floor_share`` of it.
    """
    rate = float(result[RATE])
    found: Figures = {RATE: rate}
    for kind in GROUPS:
        latency = result["latency_ms"].get(kind, {})
        found |= {f"{kind}_{name}_ms": latency.get(name) for name in ("mean", *PERCENTILES, "max")}
    found["fast_share"] = result["paths"]["fast"]
    replicas, operations = result["replicas"], result["operations"]
    leader: dict[str, Any] = next((replica for replica in replicas if replica["role"] == "leader"), {})
    for name in ("syscalls_per_operation", "commands_per_frame", "frames_per_send", "batch_delay_seconds"):
        found[name] = leader.get(name)
    clients = [client["cpu_seconds"] for client in result["clients"]]
    found["leader_cpu_us_per_operation"] = _per([leader.get("cpu_seconds")], operations)
    found["client_cpu_us_per_operation"] = _per(clients, operations)
    found["cpu_us_per_operation"] = _per([*clients, *(replica["cpu_seconds"] for replica in replicas)], operations)
    for name in ("turn_seconds_max", "turn_cpu_seconds_max", "rss_peak_bytes"):
        found[name] = max((replica[name] for replica in replicas if replica.get(name) is not None), default=None)
    found |= {name: result[name] for name in ("failed", "unknown")}
    for floor in ("wire", "codec"):
        measured = (result["floors"] or {}).get(f"{floor}_per_second")
        found |= {f"{floor}_floor_per_second": measured, f"{floor}_floor_share": rate / measured if measured else None}
    return found


def _per(seconds: list[float | None], operations: int) -> float | None:
    """Return microseconds an operation; None where a process does not tell its time."""
    known = [value for value in seconds if value is not None]
    return 1e6 * sum(known) / operations if operations and known and len(known) == len(seconds) else None
