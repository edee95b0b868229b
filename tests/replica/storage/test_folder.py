from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest

from replica.storage.disk import OsDisk, replace_file
from replica.storage.errors import CorruptFacts, DiskFailed, FolderLocked, ForeignFolder
from replica.storage.folder import FACTS, FACTS_BYTES_MAX, IDENTITY, LOCK, DataFolder, is_locked, read_checked, read_identity
from replica.storage.log import DurableLog
from tests.replica.storage.crashing_disk import CrashingDisk

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import sys
from replica.storage.folder import DataFolder
folder = DataFolder.open(sys.argv[1], cluster_id="c", replica_id=1)
print("open", flush=True)
sys.stdin.read()
"""


def open_folder(path: Path, cluster_id: str = "c", replica_id: int = 1) -> DataFolder:
    return DataFolder.open(path, cluster_id=cluster_id, replica_id=replica_id)


def open_memory(disk: CrashingDisk) -> DataFolder:
    return DataFolder.open_disk(disk, cluster_id="c", replica_id=1, entropy=disk.rng.randbytes)


def contents(path: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.iterdir()}


def test_a_folder_is_made_with_those_it_is_in(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "a" / "b")
    assert (folder.created, folder.identity.incarnation, len(folder.identity.folder_id)) == (True, 1, 32)
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [FACTS, IDENTITY, LOCK]
    folder.close()


def test_the_first_facts_are_there_as_soon_as_the_folder_has_an_identity() -> None:
    disk = CrashingDisk(Random(1))
    facts = {"made for": "this", "more": [1, 2]}
    before = DataFolder.open_disk(disk, cluster_id="c", replica_id=1, facts=facts, entropy=disk.rng.randbytes)
    assert (before.recall("more"), read_checked(disk, FACTS)) == ([1, 2], facts)
    again = DataFolder.open_disk(disk, cluster_id="c", replica_id=1, facts={"made for": "another"})
    assert (again.created, again.recall("made for")) == (False, "this")


def test_each_opening_is_another_incarnation_of_the_same_folder(tmp_path: Path) -> None:
    first = open_folder(tmp_path)
    first.close()
    first.close()
    second = open_folder(tmp_path)
    second.count_opening()
    assert (second.created, second.identity.incarnation) == (False, 2)
    assert second.identity.folder_id == first.identity.folder_id
    second.close()


def test_an_opening_that_is_not_used_counts_for_nothing_and_changes_nothing(tmp_path: Path) -> None:
    open_folder(tmp_path).close()
    before = contents(tmp_path)
    for _ in range(2):
        folder = open_folder(tmp_path)
        assert folder.identity.incarnation == 2
        folder.close()
    del before[LOCK]
    assert {name: told for name, told in contents(tmp_path).items() if name != LOCK} == before


def test_a_used_opening_is_counted_once() -> None:
    disk = CrashingDisk(Random(1))
    open_memory(disk)
    folder = open_memory(disk)
    folder.count_opening()
    before = dict(disk.operations)
    folder.count_opening()
    assert disk.operations == before
    assert open_memory(disk).identity.incarnation == 3


@pytest.mark.parametrize("there", [True, False])
def test_what_an_opening_made_can_be_taken_back(tmp_path: Path, *, there: bool) -> None:
    path = tmp_path / "data"
    if there:
        path.mkdir()
        (path / "lost+found").mkdir()
    folder = open_folder(path)
    DurableLog.open(folder.disk, segment_bytes=4096)[0].close()
    folder.take_back()
    assert is_locked(path)
    folder.close()
    folder.close()
    assert [file.name for file in path.iterdir()] == ["lost+found"] if there else not path.exists()
    again = open_folder(path)
    assert again.created
    again.close()


def test_a_folder_of_before_is_never_taken_back(tmp_path: Path) -> None:
    open_folder(tmp_path).close()
    folder = open_folder(tmp_path)
    with pytest.raises(AssertionError):
        folder.take_back()
    folder.close()


def test_who_locks_a_folder_that_is_being_taken_back_does_not_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock file that it opened is not there any more when it has the lock: another process may have made, and locked, the next one."""
    path = tmp_path / "data"
    folder = open_folder(path)
    folder.take_back()
    flock = fcntl.flock

    def late(fd: int, operation: int) -> None:
        folder.close()
        path.mkdir(exist_ok=True)
        (path / LOCK).touch()
        flock(fd, operation)

    monkeypatch.setattr("replica.storage.folder.fcntl.flock", late)
    with pytest.raises(FolderLocked):
        open_folder(path)


def test_two_folders_have_two_ids(tmp_path: Path) -> None:
    ids = set()
    for name in "ab":
        folder = open_folder(tmp_path / name)
        ids.add(folder.identity.folder_id)
        folder.close()
    assert len(ids) == 2


def test_facts_outlive_the_process(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    assert folder.recall("view") is None
    assert folder.recall("view", 0) == 0
    folder.remember("view", 7)
    folder.remember_all({"view": 8, "voted_for": 2, "folders": {"1": "ab", "2": None}})
    assert folder.recall("view") == 8
    folder.close()
    folder = open_folder(tmp_path)
    assert [folder.recall(name) for name in ("view", "voted_for", "folders")] == [8, 2, {"1": "ab", "2": None}]
    folder.close()


def test_what_is_known_is_not_written_again() -> None:
    disk = CrashingDisk(Random(1))
    folder = open_memory(disk)
    folder.remember("view", 1)
    before = dict(disk.operations)
    folder.remember("view", 1)
    assert disk.operations == before
    folder.remember("view", True)  # equal to 1 in Python, not in the file
    assert disk.operations != before


def test_facts_do_not_change_with_the_caller_s_object() -> None:
    folder = open_memory(CrashingDisk(Random(1)))
    value = [1]
    folder.remember("list", value)
    value.append(2)
    assert folder.recall("list") == [1]


def test_too_many_facts_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="facts of"):
        open_memory(CrashingDisk(Random(1))).remember("large", "x" * FACTS_BYTES_MAX)


def test_after_a_failure_nothing_more_is_remembered() -> None:
    disk = CrashingDisk(Random(1))
    folder = open_memory(disk)
    folder.remember("view", 1)
    disk.fail_next(errno.ENOSPC, "write")
    for _ in range(2):
        with pytest.raises(DiskFailed, match="FACTS: No space left"):
            folder.remember("view", 2)
    assert folder.recall("view") == 1


@pytest.mark.parametrize("seed", range(100))
def test_a_crash_at_any_moment_keeps_what_was_remembered_and_never_repeats_an_incarnation(seed: int) -> None:
    rng = Random(seed)
    disk = CrashingDisk(rng)
    views, incarnation = [0], 0
    for _ in range(6):
        if rng.random() < 0.5:
            disk.fail_next(errno.EIO, rng.choice(["create", "write", "sync", "rename", "sync_folder"]), rng.randrange(8))
        try:
            folder = open_memory(disk)
            folder.count_opening()
            assert folder.identity.incarnation > incarnation
            incarnation = folder.identity.incarnation
            assert folder.recall("view", 0) in views
            views = [folder.recall("view", 0)]
            for _ in range(rng.randrange(3)):
                views.append(views[-1] + 1)
                folder.remember("view", views[-1])
                views = views[-1:]
        except DiskFailed:
            pass
        disk.crash(rng)
    assert open_memory(disk).recall("view", 0) in views


def test_a_folder_that_is_open_is_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    folder = open_folder(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(FolderLocked, match=f"locked by process {os.getpid()}; stop it"):
        open_folder(tmp_path)
    folder.close()
    assert not is_locked(tmp_path)
    open_folder(tmp_path).close()


def test_two_processes_cannot_open_one_folder_and_a_killed_one_leaves_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        before = contents(tmp_path)
        with pytest.raises(FolderLocked) as caught:
            open_folder(tmp_path)
        assert caught.value.pid == child.pid
        assert contents(tmp_path) == before
        child.kill()
    folder = open_folder(tmp_path)
    assert folder.identity.incarnation == 2
    folder.close()


@pytest.mark.parametrize(
    ("cluster_id", "replica_id", "message"),
    [("other", 1, "found cluster 'c', wanted cluster 'other'; give"), ("c", 2, "found replica 1, wanted replica 2; give")],
)
def test_somebody_else_s_folder_is_refused_and_left_as_it_is(tmp_path: Path, cluster_id: str, replica_id: int, message: str) -> None:
    open_folder(tmp_path).close()
    before = contents(tmp_path)
    with pytest.raises(ForeignFolder, match=message):
        open_folder(tmp_path, cluster_id, replica_id)
    assert contents(tmp_path) == before


def test_a_folder_of_another_format_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    open_folder(tmp_path).close()
    disk = OsDisk(tmp_path)
    import json
    import zlib

    content = json.dumps({**read_checked(disk, IDENTITY), "format_version": 9}).encode()
    replace_file(disk, IDENTITY, b"%08x\n" % zlib.crc32(content) + content)
    before = contents(tmp_path)
    with pytest.raises(ForeignFolder, match="found format version 9, wanted format version 1"):
        open_folder(tmp_path)
    assert contents(tmp_path) == before


def test_a_folder_of_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ForeignFolder, match=r"found 'thesis.tex' and no IDENTITY"):
        open_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_log_without_an_identity_is_not_adopted(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    DurableLog.open(folder.disk, segment_bytes=4096)[0].close()
    folder.close()
    (tmp_path / IDENTITY).unlink()
    with pytest.raises(ForeignFolder, match=r"log-0000000000000001.segment' and no IDENTITY"):
        open_folder(tmp_path)


def test_leavings_of_a_creation_that_was_cut_short_do_no_harm(tmp_path: Path) -> None:
    for name in (LOCK, FACTS, "IDENTITY.partial"):
        (tmp_path / name).touch()
    (tmp_path / "lost+found").mkdir()
    folder = open_folder(tmp_path)
    assert folder.created
    folder.close()
    assert not (tmp_path / "IDENTITY.partial").exists()


@pytest.mark.parametrize("name", [IDENTITY, FACTS])
def test_a_file_that_is_cut_or_altered_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    folder = open_folder(tmp_path)
    folder.remember("view", 3)
    folder.close()
    content = (tmp_path / name).read_bytes()
    altered = [content[:at] for at in range(len(content))]
    altered += [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(len(content))]
    for bad in altered:
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(CorruptFacts, match=name):
            open_folder(tmp_path)


def test_lost_facts_are_not_taken_for_none(tmp_path: Path) -> None:
    open_folder(tmp_path).close()
    (tmp_path / FACTS).unlink()
    with pytest.raises(CorruptFacts, match="FACTS: byte 0: the file is missing"):
        open_folder(tmp_path)
    identity = read_identity(OsDisk(tmp_path))
    assert identity is not None
    assert identity.incarnation == 1
    assert not is_locked(tmp_path)


def test_a_path_that_is_no_folder_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskFailed, match="file: File exists"):
        open_folder(tmp_path / "file")
