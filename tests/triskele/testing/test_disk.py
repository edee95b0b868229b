from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from replica.storage.disk import OsDisk
from triskele.testing.disk import PointedDisk, SyncClock
from triskele.testing.place import Fault, Place, here, listen_to_fault_points, raising

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHANGES: dict[str, Callable[[PointedDisk], object]] = {
    "disk.create": lambda disk: disk.create("new"),
    "disk.write": lambda disk: disk.open("there", writable=True).write(0, [b"x"]),
    "disk.sync": lambda disk: disk.open("there", writable=True).sync(),
    "disk.rename": lambda disk: disk.rename("there", "elsewhere"),
    "disk.remove": lambda disk: disk.remove("there"),
    "disk.sync_folder": lambda disk: disk.sync_folder(),
}
LEFT: dict[str, dict[str, bytes]] = {
    "disk.create": {"there": b"before", "new": b""},
    "disk.write": {"there": b"xefore"},
    "disk.rename": {"elsewhere": b"before"},
    "disk.remove": {},
}
"""What the folder has then, where that is not what it had before."""


@pytest.fixture
def disk(tmp_path: Path) -> PointedDisk:
    (tmp_path / "there").write_bytes(b"before")
    return PointedDisk(OsDisk(tmp_path), SyncClock(0.005))


@pytest.mark.parametrize("point", CHANGES)
def test_a_change_that_fails_has_changed_nothing(disk: PointedDisk, tmp_path: Path, point: str) -> None:
    listen_to_fault_points()
    place = Place("r0", 0, faults=[Fault(point, raising(OSError(errno.EIO, "planted")))])
    with here(place), pytest.raises(OSError, match="planted"):
        CHANGES[point](disk)
    assert place.reached == {point: 1}
    assert ([path.name for path in tmp_path.iterdir()], (tmp_path / "there").read_bytes()) == (["there"], b"before")


@pytest.mark.parametrize("point", CHANGES)
def test_without_a_fault_it_is_the_disk_below(disk: PointedDisk, tmp_path: Path, point: str) -> None:
    CHANGES[point](disk)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left == LEFT.get(point, {"there": b"before"})
    assert disk.names() == sorted(left)
    assert disk.path == str(tmp_path)


def test_a_sync_takes_the_time_it_was_told_and_nothing_else_does() -> None:
    clock = SyncClock(0.005)
    assert clock() == clock() == 0
    clock.sync()
    assert clock() == 0.005


def test_what_a_dead_process_would_write_does_not_come_to_its_file(disk: PointedDisk, tmp_path: Path) -> None:
    file = disk.open("there", writable=True)
    disk.cut = True
    file.write(0, [b"after"])
    assert (tmp_path / "there").read_bytes() == b"before"
