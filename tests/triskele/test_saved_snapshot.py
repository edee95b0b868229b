from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.admin import Stream, text_page
from replica.config import SettingError
from replica.journal_codec import encode_metadata, snapshot_chunks
from replica.snapshot_file import encode_snapshot, read_snapshot
from replica.storage.disk import OsDisk
from statemachine.sessions import Sessions
from statemachine.store import Store
from tests.triskele.admin_stand import Stand, follows, leads, stand
from triskele.admin_client import AdminUnreachable
from triskele.saved_snapshot import SaveFailed, save_snapshot

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


def snapshot(*, cut: int = 0, altered: bool = False) -> Stream:
    """A snapshot of 500 keys at position 500; ``cut``: pieces that come before it fails."""
    store = Store()
    store.apply(bytes(500), [b"%d" % number for number in range(500)], [b"v"] * 500, 1)

    def pieces() -> Generator[bytes, None, None]:
        chunks = snapshot_chunks(store.snapshot(chunk_keys=100), Sessions().snapshot())
        for number, piece in enumerate(encode_snapshot(3, encode_metadata(3, 1, 500, 1), chunks), 1):
            yield piece.replace(b"499", b"498") if altered else piece
            if number == cut:
                raise RuntimeError("planted")

    return Stream("application/octet-stream", pieces())


async def failure(stood: Stand, file: Path, source: int | None = None) -> str:
    with pytest.raises((SaveFailed, AdminUnreachable, SettingError)) as caught:
        await save_snapshot(stood.cluster, file, source)
    return str(caught.value)


@pytest.mark.parametrize(("source", "told"), [(None, 1), (0, 0)])
async def test_a_file_holds_the_state_of_the_leader_or_of_whom_was_asked_for(source: int | None, told: int, tmp_path: Path) -> None:
    async with stand(follows(0, 1), leads(1, 1)) as stood:
        stood.on_snapshot = snapshot
        replica_id, content = await save_snapshot(stood.cluster, tmp_path / "s", source)
        assert (replica_id, content.applied.position) == (told, 500)
        assert read_snapshot(tmp_path / "s").summary() == content.summary()
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


async def test_what_goes_wrong_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "s"
    file.write_bytes(b"earlier")
    disk = OsDisk(tmp_path)
    async with stand(leads(0, 1), None) as stood:
        stood.on_snapshot = lambda: snapshot(cut=3)
        assert "/snapshot: the connection ended before the answer did" in await failure(stood, file)
        stood.on_snapshot = lambda: snapshot(altered=True)
        said = await failure(stood, file)
        assert said.startswith("what came from replica 0 is damaged: ")
        assert "does not match its checksum" in said
        stood.on_snapshot = lambda: text_page("another snapshot is being told; one at a time\n", 503)
        assert await failure(stood, file) == "replica 0: another snapshot is being told; one at a time (HTTP 503)"
        assert (await failure(stood, file, 1)).endswith("Connection refused")
        assert await failure(stood, file, 5) == "--from 5: the cluster has replicas 0, 1"
        stood.rows[0] = follows(0, 1)
        assert (await failure(stood, file)).startswith("nobody leads: replica 0 is follower in view 1, replica 1 http://")
    assert file.read_bytes() == b"earlier"
    assert disk.names() == ["s"]


async def test_a_place_where_no_file_can_be_is_named_before_anybody_is_asked(tmp_path: Path) -> None:
    async with stand(None) as stood:
        assert await failure(stood, tmp_path) == f"FILE {tmp_path}: is a folder"
        assert await failure(stood, tmp_path / "no" / "s") == f"FILE {tmp_path / 'no' / 's'}: No such file or directory"
