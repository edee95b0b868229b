"""Watches the replicas of a run through their admin addresses: counters at the window's edges and once a second.

Counters are running totals since a replica's start (``/counters``; older replicas have them in ``/status`` under ``counters``), so a window is the
difference of two samples. Read: ``role, incarnation, cpu_seconds, rss_bytes, rss_peak_bytes, syscalls {send, receive, poll, sync, other},
frames_out, frames_in, sends, commands, bytes_sent, batch_delay_seconds``. A replica that does not answer is left out of that sample; one that
misses an edge of the window, or was restarted inside it, has no differences, and says so with nulls.

Longest turns are maxima, which have no differences: the window's opening sets a mark (``POST /counters/mark``), and ``turn_seconds_since_mark`` and
``turn_cpu_seconds_since_mark`` at its end are the window's if ``turn_marks`` is still the same. If it is not, another load began on the cluster
meanwhile, and they are nulls; and so of an older replica, which takes no mark.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from replica.address import AddressError
from triskele.admin_client import AdminUnreachable, get, get_status, post
from triskele.cluster_status import admin_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replica.cluster_file import ClusterFile, ReplicaPlace

SAMPLE_SECONDS: Final = 1.0
SYSCALLS: Final = ("send", "receive", "poll", "sync", "other")
_TOTALS: Final = ("cpu_seconds", "frames_out", "frames_in", "sends", "commands", "bytes_sent")
_FIGURES: Final = (
    "cpu_seconds", "rss_bytes", "rss_peak_bytes", "syscalls", "syscalls_per_operation", "frames_per_send", "commands_per_frame", "bytes_sent",
    "batch_delay_seconds", "turn_seconds_max", "turn_cpu_seconds_max",
)  # fmt: skip
_TIMEOUT_SECONDS: Final = 2.0
_HTTP_OK: Final = 200

Sample = dict[int, dict[str, Any]]
"""``{replica id: its counters}``."""


@attrs.define(eq=False)
class Observer:
    """Samples of one run."""

    cluster: ClusterFile
    first: Sample = attrs.Factory(dict)
    """When the window opened."""
    last: Sample = attrs.Factory(dict)
    """When it closed."""
    memory: dict[int, list[list[float]]] = attrs.Factory(dict)
    # {replica id: [[second of the window, resident bytes], ...]}

    async def sample(self, *, mark: bool = False) -> Sample:
        """Ask every replica for its counters, all at once; ``mark``: and to begin the maxima anew."""
        found: Sample = {}

        async def ask(place: ReplicaPlace) -> None:
            with suppress(AdminUnreachable, AddressError):  # dead, or its admin address is not known: not part of this sample
                found[place.id] = await counters_of(admin_of(place), mark=mark)

        async with trio.open_nursery() as nursery:
            for place in self.cluster.replicas:
                nursery.start_soon(ask, place)
        return found

    async def open(self) -> None:
        """Take the sample at the window's opening."""
        self.first = await self.sample(mark=True)
        self._note(0.0, self.first)

    async def close(self, second: float) -> None:
        """Take the sample at the window's end."""
        self.last = await self.sample()
        self._note(second, self.last)

    async def watch(self, clock_seconds: float) -> None:
        """Sample memory each second; runs until cancelled. ``clock_seconds``: Trio's time at the window's opening."""
        second = SAMPLE_SECONDS
        while True:
            await trio.sleep_until(clock_seconds + second)
            self._note(second, await self.sample())
            second += SAMPLE_SECONDS

    def _note(self, second: float, sample: Sample) -> None:
        for replica, counters in sample.items():
            self.memory.setdefault(replica, []).append([round(second, 3), counters.get("rss_bytes", 0)])

    def report(self, operations: int) -> list[dict[str, Any]]:
        """Return the ``replicas`` part of the result.

        Args:
            operations: completed in the window, by all clients.
        """
        return [
            {"id": place.id, **difference(self.first.get(place.id), self.last.get(place.id), operations), "rss_series": self.memory.get(place.id, [])}
            for place in self.cluster.replicas
        ]


async def counters_of(admin: str, *, mark: bool = False) -> dict[str, Any]:
    """Get a replica's role and counters.

    Args:
        admin: its address.
        mark: whether it is to begin the maxima since the mark anew, if it can.

    Raises:
        AdminUnreachable: no answer, or no address.
        AddressError: no address.
    """
    if not admin:
        raise AdminUnreachable(admin, "no admin address is known")
    for ask, page in ((post, "/counters/mark"), (get, "/counters"))[not mark :]:
        answer = await ask(admin, page, timeout=_TIMEOUT_SECONDS)
        if answer.status == _HTTP_OK:
            counters: dict[str, Any] = json.loads(answer.body)
            return counters
    status = await get_status(admin, timeout=_TIMEOUT_SECONDS)
    return {"role": status.get("role"), **status.get("counters", {})}


def was_restarted(first: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Tell whether two samples are of two processes: each start has an incarnation of its own; older replicas tell none, and their totals fall."""
    if first.get("incarnation") != last.get("incarnation"):
        return True
    before, after = first.get("syscalls", {}), last.get("syscalls", {})
    fell = [last.get(name, 0) < first.get(name, 0) for name in _TOTALS]
    return any(fell) or any(after.get(kind, 0) < before.get(kind, 0) for kind in SYSCALLS)


def difference(first: Mapping[str, Any] | None, last: Mapping[str, Any] | None, operations: int) -> dict[str, Any]:
    """Return what a replica did between two samples, as the result has it; nulls where a sample is missing, or they are of two processes."""
    if first is None or last is None:
        return dict.fromkeys(("role", *_FIGURES, "restarted"))
    if was_restarted(first, last):
        return {"role": last.get("role"), **dict.fromkeys(_FIGURES), "restarted": True}

    def grown(name: str) -> float:
        return float(last.get(name, 0)) - float(first.get(name, 0))

    marked = bool(last.get("turn_marks")) and first.get("turn_marks") == last["turn_marks"]
    before, after = first.get("syscalls", {}), last.get("syscalls", {})
    calls = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in SYSCALLS}
    return {
        "role": last.get("role"),
        "cpu_seconds": round(grown("cpu_seconds"), 4),
        "rss_bytes": last.get("rss_bytes"),
        "rss_peak_bytes": last.get("rss_peak_bytes"),
        "syscalls": calls,
        "syscalls_per_operation": ratio(sum(calls.values()), operations),
        "frames_per_send": ratio(grown("frames_out"), grown("sends")),
        "commands_per_frame": ratio(grown("commands"), grown("frames_in" if "frames_in" in last else "frames_out")),
        "bytes_sent": int(grown("bytes_sent")),
        "batch_delay_seconds": last.get("batch_delay_seconds"),
        "turn_seconds_max": last.get("turn_seconds_since_mark") if marked else None,
        "turn_cpu_seconds_max": last.get("turn_cpu_seconds_since_mark") if marked else None,
        "restarted": False,
    }


def ratio(part: float, whole: float) -> float | None:
    """Return a quotient to four digits, None where there is nothing to divide by."""
    return round(part / whole, 4) if whole else None
