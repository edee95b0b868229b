"""A disk that fails refuses what it should, keeps what was safe, and ends its process; which has then said nothing of what is lost."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest

from replica.core.journal import Voted
from tests.sim.disk import Disk, DiskFailed
from tests.sim.faults import Saboteur
from tests.sim.network import Network
from tests.sim.options import Faults, draw
from tests.sim.run import play
from tests.sim.world import World

if TYPE_CHECKING:
    from replica.core.journal import JournalRecord
    from tests.sim.network import Place

RECORDS: list[JournalRecord] = [Voted(view, 1) for view in range(1, 5)]


def full_disk(failing: str) -> Disk:
    disk = Disk()
    disk.write(1, [RECORDS[0]])
    disk.sync(1)
    disk.failing = failing
    return disk


def test_a_failed_write_may_be_written_in_part_and_keeps_what_was_safe() -> None:
    left = set()
    for seed in range(50):
        disk = full_disk("write")
        with pytest.raises(DiskFailed, match="a write failed"):
            disk.write(2, RECORDS[1:3])
        disk.crash(Random(seed))
        left.add(len(disk.records))
        assert disk.records[0] == RECORDS[0]
        disk.write(1, [RECORDS[3]])  # it works again
    assert left == {1, 2, 3}


def test_a_failed_sync_makes_nothing_safe() -> None:
    disk = full_disk("sync")
    disk.write(2, RECORDS[1:3])
    with pytest.raises(DiskFailed, match="a sync failed"):
        disk.sync(2)
    assert disk.synced == 1
    assert disk.sync(2) == RECORDS[1:3], "once"


def test_a_full_disk_refuses_until_there_is_room() -> None:
    disk = full_disk("full")
    for _ in range(2):
        with pytest.raises(DiskFailed, match="the disk is full"):
            disk.write(2, RECORDS[1:3])
        disk.crash(Random(1))
    disk.failing = ""
    disk.write(2, RECORDS[1:3])


@pytest.mark.parametrize("how", ["write", "sync", "full"])
def test_a_replica_whose_disk_fails_ends_and_comes_back(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """In the midst of a turn: what it would have said in it nobody hears."""
    refuse, send, ended, sent = Disk._refuse, Network.send, set[int](), Counter[int]()

    def refusing(disk: Disk, *what: str) -> None:
        try:
            refuse(disk, *what)
        except DiskFailed:
            ended.add(struck.lives)
            raise

    def sending(network: Network, sender: Place, receiver: Place, payload: bytes) -> None:
        if sender == struck.name:
            assert struck.lives not in ended
            sent[struck.lives] += 1
        send(network, sender, receiver, payload)

    monkeypatch.setattr(Disk, "_refuse", refusing)
    monkeypatch.setattr(Network, "send", sending)
    options = attrs.evolve(draw(5, "ho", 3), faults=Faults(), drift=1.0)
    assert options.core.durable
    world = World(options)
    struck = world.replicas[0]
    world.at(0.1, lambda: world.strikes.fail_disk(struck, how, lambda: 0.1))
    assert play(world).failure == ""
    assert world.network.counts["disks failed"] >= 1
    assert struck.lives == 1 + world.network.counts["crashes"]
    assert struck.alive
    assert len(ended) == world.network.counts["disks failed"]
    assert all(sent[life] for life in ended)


def test_whose_disk_fails_is_drawn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that worlds without such faults are what they were before there were any."""
    drawn = []
    monkeypatch.setattr(Saboteur, "_fail_disk", lambda _self, rng: drawn.append(rng))
    options = attrs.evolve(draw(5), faults=Faults(disk_failures=3))
    world, calm = World(options), World(attrs.evolve(options, faults=Faults()))
    assert play(world) == attrs.evolve(play(calm), faulty=True, events=world.events)
    assert len(drawn) == 3
    assert world.rng not in drawn
