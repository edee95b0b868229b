"""The operators' commands: what they print, and how they end."""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from replica.cluster_file import read_cluster_file
from tests.triskele.conftest import start_up
from triskele.agreement import Agreement
from triskele.cli import main
from triskele.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from triskele.client import Store

KEYS = 2000
BATCH = 500


def lines(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> list[str]:
    """Run a command; return what it prints, or with status 1 or 2 what it complains of."""
    assert main(shlex.split(line)) == status
    out, err = capsys.readouterr()
    return (err if status and err else out).splitlines()


def told(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads("\n".join(lines(capsys, f"{line} -o json", status)))
    return found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("transfer-leader --to x", "--to x: must be a whole number from 0 to 65535"),
        ("transfer-leader --cluster none.json", "--cluster none.json: no such file (and no address list: ADDRESS,ADDRESS,…)"),
        ("verify --timeout 0", "--timeout 0: must be a number of seconds above 0"),
        ("verify-log", "DIR: missing; see triskele verify-log --help"),
        ("verify-log /none/such", "/none/such: No such file or directory"),
        ("snapshot", "snapshot: no such command; did you mean snapshot save?; see triskele --help"),
        ("snapshot save", "FILE: missing; see triskele snapshot save --help"),
        ("snapshot verify /none/such", "/none/such: No such file or directory"),
        ("snapshot restore x", "--data-dir: missing; see triskele snapshot restore --help"),
        ("snapshot restore x --data-dir y --replicas 4", "--replicas 4: must be one of 1, 3, 5, 7, 9"),
        ("snapshot restore x --data-dir y --mode raft", "--mode raft: must be one of paxos, curp, ht, ho"),
    ],
)
def test_wrong_usage_is_one_line_that_names_it_and_status_2(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, line, 2) == [f"triskele: {message}"]


@pytest.mark.parametrize(
    ("found", "status", "out", "err"),
    [
        (Agreement("equal", 7, {0: "aa", 1: "aa"}), 0, "equal: 2 replicas at position 7 have state hash aa\n", ""),
        (Agreement("divergent", 7, {1: "bb", 0: "aa"}), 1, "divergent at position 7\nreplica 0  aa\nreplica 1  bb\n", ""),
        (Agreement("unknown", 7, {0: "aa"}, "replica 1: x"), 1, "unknown at position 7\nreplica 0  aa\n", "triskele: unknown: replica 1: x\n"),
        (Agreement("unknown", why="positions differ"), 1, "", "triskele: unknown: positions differ\n"),
    ],
)
def test_verify_tells_what_was_found(
    found: Agreement, status: int, out: str, err: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def compare(*_arguments: object) -> Agreement:
        await trio.lowlevel.checkpoint()
        return found

    monkeypatch.setattr("triskele.agreement.compare_states", compare)
    assert main(["verify"]) == status
    assert capsys.readouterr() == (out, err)


def test_a_damaged_snapshot_is_named_with_the_place_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s").write_bytes(b"x" * 100)
    assert lines(capsys, f"snapshot verify {tmp_path / 's'}", 1) == [f"triskele: {tmp_path / 's'}: byte 0: the header is cut or altered"]


@contextmanager
def up(folder: Path, *flags: str) -> Iterator[Path]:
    """Run a cluster on disk for the length of the block; its ready file."""
    process, ready = start_up(folder, "--data-dir", str(folder / "data"), *flags)
    try:
        yield ready
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.terminate()
        process.wait(10)


async def write(ready: str) -> None:
    async with connect(ready, timeout=20.0) as store:
        for first in range(0, KEYS, BATCH):
            async with store.pipeline() as batch:
                for number in range(first, first + BATCH):
                    batch.put(b"key %d" % number, b"value %d" % number)
        await store.delete(b"key 7")
        await store.flush()


async def read(ready: str) -> list[tuple[bytes | None, int]]:
    """Read all keys, strongly, with their versions; then write, which must come behind them."""
    found: dict[int, tuple[bytes | None, int]] = {}
    async with connect(ready, timeout=20.0) as store:

        async def get(first: int) -> None:
            for number in range(first, KEYS, BATCH):
                found[number] = await versioned(store, b"key %d" % number)

        async with trio.open_nursery() as nursery:
            for first in range(BATCH):
                nursery.start_soon(get, first)
        await store.put(b"later", b"write")
        _, later = await versioned(store, b"later")
    assert later > max(version for _, version in found.values())
    return [found[number] for number in range(KEYS)]


async def versioned(store: Store, key: bytes) -> tuple[bytes | None, int]:
    answer = await store.get(key, with_version=True)
    assert isinstance(answer, tuple)
    return answer


def test_a_cluster_is_saved_checked_and_restored_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From end to end with real processes, the leader changed on the way."""
    old, new, file = tmp_path / "old", tmp_path / "new", tmp_path / "backup.snapshot"
    old.mkdir()
    new.mkdir()
    with up(old, "--durability", "disk", "--election-seconds", "5") as ready:  # only who is told takes over
        trio.run(write, str(ready))
        leader = read_cluster_file(ready).leader
        assert leader is not None
        to = (leader + 1) % 3
        transfer = told(capsys, f"transfer-leader --to {to} --cluster {ready}")
        assert (transfer["from"], transfer["to"]) == (leader, to)
        assert lines(capsys, f"transfer-leader --to {to} --cluster {ready}", 1) == [f"triskele: replica {to} leads already"]
        before = hashes(told(capsys, f"verify --cluster {ready}"))
        saved = told(capsys, f"snapshot save {file} --cluster {ready}")
        assert (saved["from"], saved["keys"], saved["tombstones"]) == (to, KEYS - 1, 1)
        assert before == {saved["state_hash"]}
        kept = trio.run(read, str(ready))
        assert (kept[7][0], kept[8][0]) == (None, b"value 8")
        assert lines(capsys, f"verify-log {old / 'data' / 'replica-0'}")[1].startswith("locked: ")
    found = lines(capsys, f"verify-log {old / 'data' / 'replica-0'}")
    assert (found[0].startswith("replica 0 of cluster "), found[-1]) == (True, "sound")
    assert lines(capsys, f"snapshot verify {file}")[0] == f"{file}: sound"

    lines(capsys, f"snapshot restore {file} --data-dir {new / 'data'} --mode curp")
    with up(new) as ready:
        assert hashes(told(capsys, f"verify --cluster {ready}")) == {saved["state_hash"]}
        assert trio.run(read, str(ready)) == kept
        assert told(capsys, f"verify --cluster {ready}")["verdict"] == "equal"
    assert lines(capsys, f"verify-log {new / 'data' / 'replica-1'}")[-1] == "sound"


def hashes(agreement: dict[str, Any]) -> set[str]:
    return set(agreement["hashes"].values())
