"""The store against a plain dict: every kind of command, batched anyhow, with copies, snapshots and hashes begun and finished at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, DELETE, PUT
from statemachine.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

TOMBSTONES_MAX = 4
KEYS = [b"k%02d" % number for number in range(14)]

Rows = tuple[tuple[bytes, bytes | None, int], ...]

keys = st.sampled_from(KEYS)
values = st.sampled_from([b"", b"x", b"y", b"long" * 20])
commands = st.one_of(
    st.tuples(st.sampled_from([PUT, PUT | CAUSAL]), keys, values),
    st.tuples(st.just(PUT), keys, values),
    st.tuples(st.sampled_from([DELETE, DELETE | CAUSAL]), keys, st.none()),
    st.tuples(st.just(CAS_VALUE), keys, st.tuples(st.none() | values, values).map(list)),
    st.tuples(st.just(CAS_VERSION), keys, st.tuples(st.integers(0, 60), values).map(list)),
)
batches = st.lists(commands, max_size=8)


class Dict:
    """The rule book: one command at a time on a plain dict ``{key: (value or None, version)}``."""

    def __init__(self) -> None:
        self.entries: dict[bytes, tuple[bytes | None, int]] = {}
        self.horizon = 0

    def apply(self, kind: int, key: bytes, item: object, position: int) -> bool | None:
        value, version = self.entries.get(key, (None, 0))
        if kind & ~CAUSAL == DELETE:
            self.entries[key] = None, position
            tombstones = sorted(version for value, version in self.entries.values() if value is None)
            if len(tombstones) > TOMBSTONES_MAX:
                self.drop(tombstones[0] + 1)
            return None
        result = None
        if kind & ~CAUSAL != PUT:
            assert isinstance(item, list)
            expected, item = item
            result = expected == value if kind == CAS_VALUE else expected == (version if value is not None else 0)
        assert isinstance(item, bytes)
        if result is not False:
            self.entries[key] = item, position
        return result

    def drop(self, horizon: int) -> None:
        self.horizon = max(self.horizon, horizon)
        self.entries = {key: entry for key, entry in self.entries.items() if entry[0] is not None or entry[1] >= horizon}

    def freeze(self) -> tuple[int, Rows]:
        return self.horizon, tuple((key, *entry) for key, entry in sorted(self.entries.items()))

    def store(self) -> Store:
        """Build a store of these entries, in an order of keys that has nothing to do with how they came."""
        columns: tuple[list[bytes], list[bytes | None], list[int]] = ([], [], [])
        for key, (value, version) in sorted(self.entries.items(), reverse=True):
            for column, item in zip(columns, (key, value, version), strict=True):
                column.append(item)  # type: ignore[attr-defined]
        return Store.restore([[1, self.horizon, len(self.entries)], list(columns)])


class StoreModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store(TOMBSTONES_MAX)
        self.single = Store(TOMBSTONES_MAX)  # applies the same commands one at a time
        self.model = Dict()
        self.position = 1
        self.copies: list[tuple[Store, object]] = []
        self.snapshot: tuple[Iterator[list[object]], list[list[object]], tuple[int, Rows]] | None = None

    @rule(batch=batches)
    def apply(self, batch: list[tuple[int, bytes, object]]) -> None:
        kinds, batch_keys, items = bytes(kind for kind, _, _ in batch), [key for _, key, _ in batch], [item for _, _, item in batch]
        results = self.store.apply(kinds, batch_keys, items, self.position)
        expected = [self.model.apply(*command, position) for position, command in enumerate(batch, self.position)]
        for position, (kind, key, item) in enumerate(batch, self.position):
            self.single.apply(bytes([kind]), [key], [item], position)
        assert results == (expected if any(kind in (CAS_VALUE, CAS_VERSION) for kind in kinds) else None)
        self.position += len(batch)

    @rule(data=st.data(), item=values)
    def cas_on_the_present_version(self, data: st.DataObject, item: bytes) -> None:
        key = data.draw(keys)
        value, version = self.model.entries.get(key, (None, 0))
        self.apply([(CAS_VERSION, key, [0 if value is None else version, item])])
        assert self.store.get_entry(key) == (item, self.position - 1)

    @rule(back=st.integers(0, 20))
    def drop_tombstones(self, back: int) -> None:
        horizon = max(0, self.position - back)
        for each in (self.store, self.single):
            each.drop_tombstones(horizon)
        self.model.drop(horizon)

    @rule(start=keys, end=st.none() | keys, limit=st.integers(1, 8))
    def scan(self, start: bytes, end: bytes | None, limit: int) -> None:
        live = [
            [key, *entry] for key, entry in sorted(self.model.entries.items()) if entry[0] is not None and start <= key and (end is None or key < end)
        ]
        assert self.store.scan(start, end, limit) == (live[:limit], len(live) > limit)

    @rule(limit=st.integers(1, 6))
    def fold(self, limit: int) -> None:
        self.store.fold(limit)

    @rule()
    def state_hash(self) -> None:
        expected = self.store.state_hash()
        assert expected == self.single.state_hash() == self.model.store().state_hash()
        if self.model.entries:
            other = self.model.store()
            key, (value, version) = next(iter(self.model.entries.items()))
            other.apply(bytes([PUT]), [key], [b"another" if value is None else value + b"!"], version)
            assert other.state_hash() != expected

    @rule()
    def clone(self) -> None:
        self.copies.append((self.store, self.store.freeze()))
        self.store = self.store.clone()
        assert self.store.freeze() == self.copies[-1][1]

    @precondition(lambda self: self.snapshot is None)
    @rule(chunk_keys=st.integers(1, 4), chunk_bytes=st.integers(1, 100))
    def begin_snapshot(self, chunk_keys: int, chunk_bytes: int) -> None:
        self.snapshot = self.store.snapshot(chunk_keys, chunk_bytes), [], self.model.freeze()

    @precondition(lambda self: self.snapshot is not None)
    @rule(count=st.integers(1, 4))
    def take_of_snapshot(self, count: int) -> None:
        assert self.snapshot is not None
        chunks, taken, frozen = self.snapshot
        for _ in range(count):
            chunk = next(chunks, None)
            if chunk is None:
                restored = Store.restore(taken, TOMBSTONES_MAX)
                assert restored.freeze() == frozen
                assert restored.scan(b"", None, 100)[0] == [[key, value, version] for key, value, version in frozen[1] if value is not None]
                self.snapshot = None
                return
            taken.append(chunk)

    @rule()
    def restart_from_snapshot(self) -> None:
        self.store = Store.restore(self.store.snapshot(chunk_keys=3), TOMBSTONES_MAX)

    @invariant()
    def the_store_is_the_dict(self) -> None:
        entries = [self.model.entries.get(key, (None, 0)) for key in KEYS]
        assert self.store.read(KEYS) == ([value for value, _ in entries], [version for _, version in entries])
        assert self.store.freeze() == self.single.freeze() == self.model.freeze()

    def teardown(self) -> None:
        self.state_hash()
        assert self.store.scan(b"", None, 100)[0] == [[k, *entry] for k, entry in sorted(self.model.entries.items()) if entry[0] is not None]
        assert all(store.freeze() == frozen for store, frozen in self.copies)


StoreModel.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestStore = pytest.mark.usefixtures("small_sizes")(StoreModel.TestCase)
