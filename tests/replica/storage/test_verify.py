from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.storage.folder import FACTS, IDENTITY, DataFolder
from replica.storage.log import DurableLog
from replica.storage.records import SEGMENT_HEADER_BYTES
from replica.storage.segments import segment_name
from replica.storage.snapshots import SnapshotWriter, snapshot_name
from replica.storage.verify import SegmentReport, SnapshotReport, verify_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with a log of three segments, which was killed, and a snapshot."""
    folder = DataFolder.open(tmp_path / "data", cluster_id="c", replica_id=1)
    log, _ = DurableLog.open(folder.disk, segment_bytes=2048)
    for number in range(8):
        log.append(1, bytes([number + 1]) * 400)
        log.write()
        log.sync()
    writer = SnapshotWriter(folder.disk, 5, b"meta")
    writer.write(b"content")
    writer.commit()
    folder.close()
    return tmp_path / "data"


def alter(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def state(path: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.iterdir()}


def test_a_sound_folder_is_told_without_problems_and_without_a_change(path: Path) -> None:
    before = state(path)
    report = verify_folder(path)
    assert state(path) == before
    assert report.segments == [
        SegmentReport(segment_name(1), 3, 1, 3, 512 + 3 * 445, None),
        SegmentReport(segment_name(2), 3, 4, 6, 512 + 3 * 445, None),
        SegmentReport(segment_name(3), 2, 7, 8, 512 + 2 * 445, None),
    ]
    assert report.snapshots == [SnapshotReport(snapshot_name(5), 5, 1, 7)]
    assert (report.problems, report.torn_tail, report.unfinished, report.locked) == ([], None, [], False)
    assert report.identity is not None
    assert (report.identity.cluster_id, report.identity.replica_id, report.identity.incarnation) == ("c", 1, 1)


def test_an_open_folder_is_said_to_be_locked(path: Path) -> None:
    folder = DataFolder.open(path, cluster_id="c", replica_id=1)
    assert verify_folder(path).locked
    folder.close()


def test_a_torn_tail_is_no_problem(path: Path) -> None:
    alter(path / segment_name(3), 512 + 445 + 100)
    report = verify_folder(str(path))
    assert report.problems == []
    assert report.torn_tail == (segment_name(3), 512 + 445)
    assert report.segments[2] == SegmentReport(segment_name(3), 1, 7, 7, 512 + 445, 512 + 445)


def test_every_damage_is_told_with_file_and_offset(path: Path) -> None:
    alter(path / segment_name(1), SEGMENT_HEADER_BYTES + 60)
    alter(path / snapshot_name(5), 40)
    alter(path / FACTS, 10)
    (path / "log-0000000000000004.segment.partial").touch()
    report = verify_folder(path)
    facts, log, snapshot = report.problems
    assert "FACTS: byte 0: the content does not match" in facts
    assert "log-0000000000000001.segment: byte 512: position 1 was durable" in log
    assert "snapshot-0000000000000005.chunks: byte 32: chunk 0 does not match" in snapshot
    assert report.unfinished == ["log-0000000000000004.segment.partial"]
    assert [segment.records for segment in report.segments] == [0, 3, 2]


def test_what_cannot_be_read_at_all_hides_nothing_else(path: Path) -> None:
    alter(path / segment_name(2), 20)
    alter(path / snapshot_name(5), 3)
    (path / IDENTITY).unlink()
    report = verify_folder(path)
    assert [segment.file for segment in report.segments] == [segment_name(1), segment_name(3)]
    assert report.snapshots == []
    assert report.identity is None
    assert [problem.partition(": byte ")[0].rpartition("/")[2] for problem in report.problems] == ["data", segment_name(2), snapshot_name(5)]


def test_a_missing_segment_is_told(path: Path) -> None:
    (path / segment_name(2)).unlink()
    (problem,) = verify_folder(path).problems
    assert "log-0000000000000002.segment: byte 0: the segment is missing" in problem


def test_a_folder_that_is_not_there_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        verify_folder(tmp_path / "nothing")
