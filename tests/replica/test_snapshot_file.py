from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.journal_codec import encode_metadata, snapshot_chunks
from replica.snapshot_file import SnapshotDamaged, SnapshotUnreadable, encode_snapshot, read_snapshot
from replica.storage.disk import OsDisk
from replica.storage.snapshots import SnapshotWriter, snapshot_name
from statemachine.command import DELETE, PUT
from statemachine.sessions import Sessions
from statemachine.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def state() -> Store:
    store = Store()
    store.apply(bytes([PUT, PUT, DELETE]), [b"a", b"b", b"a"], [b"1", b"\xff", None], 5)
    return store


def chunks(store: Store) -> Iterator[bytes]:
    return snapshot_chunks(store.snapshot(chunk_keys=1), Sessions().snapshot())


def content(store: Store | None = None, *, index: int = 3, told: bytes = b"") -> bytes:
    return b"".join(encode_snapshot(index, told or encode_metadata(3, 2, 7, 1), chunks(store or state())))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def test_its_bytes_are_those_of_a_snapshot_on_disk(file: Path) -> None:
    writer = SnapshotWriter(OsDisk(file.parent), 3, encode_metadata(3, 2, 7, 1))
    for chunk in chunks(state()):
        writer.write(chunk)
    writer.commit()
    assert (file.parent / snapshot_name(3)).read_bytes() == content()


def test_a_chunk_is_asked_for_when_the_piece_before_was_taken() -> None:
    asked: list[bytes] = []

    def asking() -> Iterator[bytes]:
        for chunk in (b"one", b"two"):
            asked.append(chunk)
            yield chunk

    pieces = encode_snapshot(3, b"", asking())
    assert [(next(pieces), len(asked))[1] for _ in range(3)] == [0, 1, 2]


def test_what_was_written_is_read_and_told(file: Path) -> None:
    file.write_bytes(content())
    found = read_snapshot(file)
    assert found.applied.store.freeze() == state().freeze()
    told = found.summary()
    assert told.pop("content_bytes") == sum(map(len, chunks(state())))
    assert told == {
        "position": 7, "index": 3, "view": 2, "keys": 1, "tombstones": 1, "sessions": 0, "chunks": 4,
        "state_hash": f"{state().state_hash():016x}",
    }  # fmt: skip


def test_every_altered_byte_and_every_cut_is_noticed(file: Path) -> None:
    whole = content()
    wrong = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    wrong += [whole[:at] for at in range(len(whole))] + [whole + b"\0"]
    for data in wrong:
        file.write_bytes(data)
        with pytest.raises(SnapshotDamaged, match=f"^{file}: byte "):
            read_snapshot(file)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (content(told=b"\xff"), "no snapshot of ours"),
        (content(told=encode_metadata(3, 2, 7, 9)), "no snapshot of ours"),
        (content(told=encode_metadata(4, 2, 7, 1)), "the metadata are not those of this snapshot"),
        (content(told=encode_metadata(3, 2, 7, 1).replace(b"\x86\x02", b"\x86\x01")), "a snapshot of format 1"),
        (b"".join(encode_snapshot(3, encode_metadata(3, 2, 7, 1), [b"\xf6"] * 3)), "no snapshot of ours"),
    ],
)
def test_what_has_right_checksums_and_makes_no_sense_is_noticed(made: bytes, why: str, file: Path) -> None:
    file.write_bytes(made)
    with pytest.raises(SnapshotDamaged, match=why):
        read_snapshot(file)


def test_what_cannot_be_read_is_named(file: Path) -> None:
    with pytest.raises(SnapshotUnreadable, match=f"^{file}: No such file or directory$"):
        read_snapshot(file)
    with pytest.raises(SnapshotUnreadable, match=f"^{file.parent}: Is a directory$"):
        read_snapshot(file.parent)
