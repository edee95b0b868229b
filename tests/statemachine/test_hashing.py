"""The state hash: of the state alone, brought up to date in slices, at no cost while nobody asks."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statemachine.command import DELETE, PUT
from statemachine.hashing import hash_of
from statemachine.store import Store

pytestmark = pytest.mark.usefixtures("small_sizes")

# Hashes are compared between replicas of different versions and machines: these numbers must never change.
KNOWN = "from statemachine import Store; s = Store(); s.apply(bytes([0, 0, 1]), [b'a', b'b', b'b'], [b'1', b'2', None], 1); print(s.state_hash())"
KNOWN_HASH = 11787038287023753759


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_hash_is_the_same_in_every_process(seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    shown = subprocess.run([sys.executable, "-c", KNOWN], env=environment, capture_output=True, text=True, check=True).stdout
    assert int(shown) == KNOWN_HASH


def test_an_empty_store_hashes_to_nothing() -> None:
    assert Store().state_hash() == 0
    assert hash_of([b"never"], [None], [0]) == 0


def test_every_part_of_the_state_counts() -> None:
    rows: list[tuple[bytes, bytes | None, int]] = [
        (b"k", b"v", 1), (b"k", b"v", 2), (b"k", b"w", 1), (b"l", b"v", 1), (b"k", b"", 1), (b"k", None, 1), (b"", b"v", 1), (b"", b"kv", 1),
        (b"k=v", None, 1), (b"k", b"v-", 1), (b"k-", None, 1), (b"", b"k=v", 1), (b" k", b"v", 1), (b"k", b"v", 11),
    ]  # fmt: skip
    assert len({hash_of([key], [value], [version]) for key, value, version in rows}) == len(rows)


def test_the_order_of_keys_does_not_count() -> None:
    rows = [(b"a", b"1", 1), (b"b", None, 2), (b"c", b"3", 3)]
    assert len({hash_of(*zip(*order, strict=True)) for order in permutations(rows)}) == 1


class Kept:
    """A store whose hash is compared with one counted anew."""

    def __init__(self) -> None:
        self.store = Store()
        self.position = 1

    def write(self, keys: list[bytes]) -> None:
        kinds = bytes(DELETE if (self.position + place) % 4 == 0 else PUT for place in range(len(keys)))
        values = [None if kind == DELETE else b"v%d" % self.position for kind in kinds]
        self.store.apply(kinds, keys, values, self.position)
        self.position += len(keys)

    def check(self) -> None:
        assert self.store.state_hash() == self.store.clone().state_hash()


keys = st.integers(0, 12).map(lambda number: b"k%d" % number)


@given(st.lists(st.one_of(st.lists(keys, max_size=4), st.integers(1, 5), st.booleans()), max_size=40))
def test_folding_in_slices_between_writes_comes_to_the_same(script: list[list[bytes] | int | bool]) -> None:
    """A list of keys is written, a number is a fold, True asks for the hash, False drops tombstones."""
    kept = Kept()
    for step in script:
        if isinstance(step, list):
            kept.write(step)
        elif step is False:
            kept.store.drop_tombstones(kept.position // 2)
        elif step is True:
            kept.check()
        else:
            kept.store.fold(step)
    kept.check()


def test_fold_says_when_there_is_nothing_left() -> None:
    kept = Kept()
    kept.write([b"k%d" % number for number in range(20)])
    folds = 1
    while kept.store.fold(2):
        folds += 1
    assert folds > 5
    assert not kept.store.fold(2)
    kept.write([b"k1"])
    assert not kept.store.fold(2)
    kept.check()


def test_counting_comes_to_an_end_under_writes() -> None:
    """More is written during the count than a past may hold, and less than is folded."""
    kept = Kept()
    everything = [b"k%02d" % number for number in range(20)]
    kept.write(everything)
    folds = 1
    while kept.store.fold(12):
        kept.write([everything[(4 * folds + place) % 20] for place in range(4)])
        folds += 1
        assert folds < 100
    kept.check()


def test_large_values_use_a_fold_up_sooner() -> None:
    def folds(value_bytes: int) -> int:
        store = Store()
        store.apply(bytes(8), [b"k%d" % number for number in range(8)], [bytes(value_bytes)] * 8, 1)
        count = 1
        while store.fold(40):
            count += 1
        return count

    assert [folds(size) for size in (1, 10 * 1024, 100 * 1024)] == [1, 3, 5]


def test_a_store_nobody_asks_remembers_nothing() -> None:
    kept = Kept()
    kept.write([b"k%d" % number for number in range(20)])
    assert not kept.store._moments
    kept.check()
    for _ in range(3):
        kept.write([b"k%d" % number for number in range(20)])
    for _ in range(30):
        kept.write([])
    assert not kept.store._moments
    kept.check()


def test_the_hash_is_whole_however_much_there_is_to_fold() -> None:
    store = Store()
    keys = [b"%d" % number for number in range(70)]
    store.apply(bytes(70), keys, [bytes(1 << 20)] * 70, 1)
    assert store.state_hash() == hash_of(keys, [bytes(1 << 20)] * 70, range(1, 71)) % 2**64


@given(st.lists(st.tuples(st.integers(0, 15), st.booleans()), max_size=40), st.integers(0, 40), st.integers(1, 5))
def test_a_moment_s_hash_is_that_of_its_state_whatever_is_written_meanwhile(writes: list[tuple[int, bool]], at: int, limit: int) -> None:
    store, begun, expected, more = Store(), None, 0, True
    for position, (number, deletes) in enumerate([*writes, (0, False)], 1):
        if begun is None and position > min(at, len(writes)):
            expected, begun = store.clone().state_hash(), store.begin_hash()
        elif begun is not None and more:
            more = begun.fold(limit)
        store.apply(bytes([DELETE if deletes else PUT]), [b"k%d" % number], [None if deletes else b"v%d" % position], position)
    assert begun is not None
    while begun.fold(limit):
        pass
    assert begun.value() == expected
    assert not store._moments


def test_a_moment_s_hash_that_is_dropped_is_over() -> None:
    store = Store()
    store.apply(bytes(3), [b"a", b"b", b"c"], [b"v"] * 3, 1)
    begun = store.begin_hash()
    assert len(store._moments) == 1
    assert begun.fold(1)
    del begun
    assert not store._moments
