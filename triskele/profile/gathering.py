"""Samples the replicas of a cluster through their admin addresses, all at once, and takes note of how busy the machine is meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from replica.profiling.recording import Recording
from triskele.admin_client import AdminUnreachable, get
from triskele.cluster_status import admin_of

if TYPE_CHECKING:
    from replica.cluster_file import ClusterFile, ReplicaPlace

GRACE_SECONDS = 15.0
"""Beyond a recording's length, for its names and its way to us."""
_OK = 200


class ProfileFailed(Exception):
    """No replica could be sampled, or nothing could be written; the message is one line."""

    exit_status = 1


@attrs.frozen
class Sampled:
    """A replica's samples.

    Attributes:
        id: which replica.
        role: at the end.
        before: its ``/counters`` at the beginning.
        after: at the end.
    """

    id: int
    role: str
    recording: Recording
    before: dict[str, Any]
    after: dict[str, Any]


@attrs.define(eq=False)
class Gathering:
    """Samples of one run.

    Attributes:
        cluster: who is sampled.
        seconds: how long.
        hz: samples in a second of processor time.
        found: in the order of the cluster file.
        missing: ``{replica id: why it was not sampled}``.
        machine_idle: share of all cores' time that nobody used meanwhile, clients and strangers included.
    """

    cluster: ClusterFile
    seconds: float
    hz: float
    found: list[Sampled] = attrs.field(factory=list)
    missing: dict[int, str] = attrs.field(factory=dict)
    machine_idle: float = 0.0

    async def sample_all(self) -> None:
        """Sample every replica."""
        before = machine_times()
        async with trio.open_nursery() as nursery:
            for place in self.cluster.replicas:
                nursery.start_soon(self._sample, place)
        self.machine_idle = idle_share(before, machine_times())
        self.found.sort(key=lambda sampled: sampled.id)

    async def _sample(self, place: ReplicaPlace) -> None:
        admin = admin_of(place)
        if not admin:
            self.missing[place.id] = "no admin address is known"
            return
        path = f"/debug/pprof/profile?seconds={self.seconds:g}&hz={self.hz:g}&format=json"
        try:
            answer = await get(admin, path, timeout=self.seconds + GRACE_SECONDS)
        except AdminUnreachable as error:
            self.missing[place.id] = str(error)
            return
        if answer.status != _OK:
            self.missing[place.id] = f"{admin}{path}: {answer.body.decode(errors='replace').strip()[:200]} (HTTP {answer.status})"
            return
        try:
            told = json.loads(answer.body)
            recording = Recording.from_json(told["recording"])
            self.found.append(Sampled(place.id, str(told["after"]["role"]), recording, told["before"], told["after"]))
        except (KeyError, TypeError, ValueError) as error:
            self.missing[place.id] = f"{admin}{path}: this is no profile: {error}"


def machine_times() -> tuple[int, int]:
    """Return the clock ticks that all cores were idle, and all of them together, since the machine started; zeros where it is not told."""
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0, 0
    ticks = [int(word) for word in words]
    return ticks[3] + ticks[4], sum(ticks)


def idle_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Return the share of all cores' time between two readings that nobody used."""
    whole = after[1] - before[1]
    return (after[0] - before[0]) / whole if whole else 0.0
