from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from replica.core.journal import Began, Committed, Voted
from replica.folder_check import NoDataFolder, check_folder, offset_of
from replica.guard import DIVERGED
from replica.journal_codec import encode_metadata, encode_record, snapshot_chunks
from replica.persistence import DURABILITY, load
from replica.storage.disk import OsDisk
from replica.storage.folder import FACTS, IDENTITY, DataFolder
from replica.storage.records import Record
from replica.storage.recovery import survey
from replica.storage.segments import segment_name
from replica.storage.snapshots import SnapshotWriter, snapshot_name
from statemachine.sessions import EXPIRED_MAX, Sessions
from statemachine.store import Store
from tests.replica.core.lone import noop

if TYPE_CHECKING:
    from pathlib import Path

    from replica.core.journal import JournalRecord

SOUND: list[JournalRecord] = [Voted(1, 0), noop(1, 1), noop(2, 1), Committed(1)]
SEGMENT, SNAPSHOT = segment_name(1), snapshot_name(2)


def make(path: Path, *records: JournalRecord | tuple[int, bytes], snapshot: bytes | None = None) -> None:
    """Make a folder with these records, one batch for each two, and a snapshot with these metadata."""
    folder = DataFolder.open(path, cluster_id="c", replica_id=1, facts={DURABILITY: "disk"})
    log, _ = load(folder, EXPIRED_MAX)
    for number, record in enumerate(records):
        log.append(*(record if isinstance(record, tuple) else encode_record(record)))
        if number % 2:
            log.write()
    log.write()
    log.sync()
    log.close()
    if snapshot is not None:
        writer = SnapshotWriter(folder.disk, 2, snapshot)
        for chunk in snapshot_chunks(Store().snapshot(), Sessions().snapshot()):
            writer.write(chunk)
        writer.commit()
    folder.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data"


def state(path: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.iterdir()}


def test_a_sound_folder_has_no_problems_and_is_not_changed(path: Path) -> None:
    make(path, *SOUND, snapshot=encode_metadata(2, 1, 2, 1))
    before = state(path)
    report = check_folder(path)
    assert state(path) == before
    assert (report.problems, report.locked, report.torn_tail) == ([], False, None)
    assert (report.segments[0].records, report.snapshots[0].index) == (4, 2)


def test_a_running_replica_s_folder_is_said_to_be_locked_and_checked_all_the_same(path: Path) -> None:
    make(path, *SOUND)
    folder = DataFolder.open(path, cluster_id="c", replica_id=1)
    report = check_folder(path)
    assert (report.locked, report.problems) == (True, [])
    folder.close()


def test_a_torn_tail_is_told_and_sound(path: Path) -> None:
    make(path, *SOUND)
    *_, last = survey(OsDisk(path)).records
    at = offset_of(OsDisk(path), last)
    data = bytearray((path / SEGMENT).read_bytes())
    data[at] ^= 1
    data[at + len(last.payload) :] = bytes(len(data) - at - len(last.payload))  # the seal that proves that it was synced
    (path / SEGMENT).write_bytes(data)
    report = check_folder(path)
    assert report.problems == []
    assert report.torn_tail is not None
    assert (report.torn_tail[0], report.segments[0].records) == (SEGMENT, 2)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ((200, b"\x80"), "no record has the kind 200"),
        ((4, b"\x82\x01"), "a record that this version cannot read"),
        ((4, b"\x81\x01"), "a record that this version cannot read"),
        ((6, b"\x81\x61x"), "a record that this version cannot read"),
    ],
)
def test_a_record_with_a_right_checksum_and_a_wrong_content_is_a_problem(record: tuple[int, bytes], why: str, path: Path) -> None:
    make(path, *SOUND, Committed(2), record)
    (problem,) = check_folder(path).problems
    file, rest = problem.split(": byte ", 1)
    offset = int(rest.split(":")[0])
    assert file == f"{path}/{SEGMENT}"
    assert (path / SEGMENT).read_bytes()[offset:].startswith(record[1])
    assert ": record 6: " in problem
    assert why in problem


def test_the_offset_of_a_record_is_where_its_payload_begins(path: Path) -> None:
    make(path, *SOUND)
    data = (path / SEGMENT).read_bytes()
    for record in survey(OsDisk(path)).records:
        assert isinstance(record, Record)
        assert data[offset_of(OsDisk(path), record) :].startswith(record.payload)


@pytest.mark.parametrize(
    ("metadata", "why"), [(b"\xff", "no snapshot of ours"), (encode_metadata(2, 1, 2, 7), "no snapshot of ours"), (b"\x85\x07\0\0\0\0", "format 7")]
)
def test_a_snapshot_with_right_checksums_and_a_wrong_content_is_a_problem(metadata: bytes, why: str, path: Path) -> None:
    make(path, *SOUND, snapshot=metadata)
    (problem,) = check_folder(path).problems
    assert problem.startswith(f"{path}/{SNAPSHOT}: byte 0: ")
    assert why in problem


def test_an_entry_that_is_missing_is_a_problem(path: Path) -> None:
    gone = attrs.evolve(noop(4, 1), base=3)
    make(path, *SOUND, gone)
    assert check_folder(path).problems == [f"{path}: byte 0: entry 4 follows entry 2: a snapshot or a segment of the log is missing"]


def test_a_log_that_is_gone_is_a_problem(path: Path) -> None:
    make(path, *SOUND)
    (path / SEGMENT).unlink()
    assert check_folder(path).problems == [f"{path}/{SEGMENT}: byte 0: the folder has no log, but there was one"]


def test_what_keeps_every_start_from_a_sound_folder_is_a_problem(path: Path) -> None:
    make(path, *SOUND)
    folder = DataFolder.open(path, cluster_id="c", replica_id=1)
    folder.remember(DIVERGED, "its state at position 64 is not that of the majority")
    folder.close()
    (problem,) = check_folder(path).problems
    assert problem.startswith(f"{path}: this replica diverged: its state at position 64 is not that of the majority; remove it")
    DataFolder.open(path.parent / "nameless", cluster_id="c", replica_id=1).close()
    (problem,) = check_folder(path.parent / "nameless").problems
    assert problem.startswith(f"{path.parent}/nameless/FACTS: byte 0: nothing says for which durability the folder was made; ")


def test_a_problem_is_told_once(path: Path) -> None:
    make(path, *SOUND, snapshot=encode_metadata(2, 1, 2, 1))
    for name, at in ((SEGMENT, 20), (SNAPSHOT, 40), (FACTS, 10)):
        data = bytearray((path / name).read_bytes())
        data[at] ^= 1
        (path / name).write_bytes(data)
    assert [problem.split(": byte")[0].rpartition("/")[2] for problem in check_folder(path).problems] == [FACTS, SEGMENT, SNAPSHOT]


def test_a_folder_that_lost_its_identity_is_a_damaged_one(path: Path) -> None:
    make(path, *SOUND)
    (path / IDENTITY).unlink()
    (problem,) = check_folder(path).problems
    assert "no IDENTITY" in problem


def test_what_is_no_data_folder_is_named(path: Path) -> None:
    with pytest.raises(NoDataFolder, match=f"^{path}: No such file or directory$"):
        check_folder(path)
    make(path / "replica-0", *SOUND)
    with pytest.raises(NoDataFolder, match=f"^{path}: not a replica's data folder; a cluster lives in it: give {path}/replica-0 or "):
        check_folder(path)
    (path.parent / "empty").mkdir()
    with pytest.raises(NoDataFolder, match=r"empty: not a replica's data folder$"):
        check_folder(path.parent / "empty")
    with pytest.raises(NoDataFolder, match=r"FACTS: Not a directory$"):
        check_folder(path / "replica-0" / FACTS)


def test_a_log_that_stood_beside_a_snapshot_is_a_problem_without_it(path: Path) -> None:
    make(path, Began(2), Voted(1, 0), Committed(2), snapshot=encode_metadata(2, 1, 2, 1))
    assert check_folder(path).problems == []
    (path / SNAPSHOT).unlink()
    (problem,) = check_folder(path).problems
    assert "the log begins beside a snapshot of entry 2, which is not there: a snapshot or a segment of the log is missing" in problem


def test_a_log_whose_first_segment_went_is_a_problem_without_the_snapshot_that_stood_for_it(path: Path) -> None:
    make(path, *SOUND, snapshot=encode_metadata(2, 1, 2, 1))
    folder = DataFolder.open(path, cluster_id="c", replica_id=1)
    log, _ = load(folder, EXPIRED_MAX)
    segment = log.begin_anew([encode_record(record) for record in (Began(2), Voted(1, 0))])
    log.sync()
    log.discard_below(segment)
    log.close()
    folder.close()
    assert check_folder(path).problems == []
    (path / SNAPSHOT).unlink()
    assert len(check_folder(path).problems) == 1
