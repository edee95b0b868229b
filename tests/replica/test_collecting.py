"""The collector and the store: what it never looks at makes no pause."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
import trio

from replica.collecting import LOOK_SECONDS, YOUNG, spare, tune
from replica.profiling.collector import COLLECTOR
from statemachine.command import PUT
from statemachine.store import Store
from statemachine.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock


@pytest.fixture
def thawed() -> Iterator[None]:
    """Give the collector back as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    COLLECTOR.stop()


def looked_at(store: Store) -> int:
    """Count the store's dicts of entries that a collection would go through."""
    watched = {id(item) for item in gc.get_objects()}
    return sum(id(part) in watched for part in (store.entries._flat, *store.entries._shards))


def filled(count: int) -> Store:
    store = Store()
    for number in range(count):
        store.apply(bytes([PUT]), [b"k%d" % number], [b"v"], number + 1)
    return store


@pytest.mark.usefixtures("thawed")
def test_what_a_process_has_made_before_it_serves_is_not_looked_at() -> None:
    store = filled(10)
    assert looked_at(store) == 1
    tune()
    assert looked_at(store) == 0
    assert gc.get_threshold()[0] == YOUNG


@pytest.mark.usefixtures("thawed")
async def test_a_store_that_outgrows_one_dict_is_not_looked_at_nor_is_the_next_one(
    nursery: trio.Nursery,
    autojump_clock: MockClock,  # noqa: ARG001 - virtual time
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Table, "FLAT_MAX", 6)
    store = filled(5)
    nursery.start_soon(spare, lambda: store)
    await trio.sleep(2 * LOOK_SECONDS)
    assert looked_at(store) == 1, "a small one makes no pause"
    for _ in range(2):
        store = filled(20)
        assert looked_at(store) > 1
        await trio.sleep(2 * LOOK_SECONDS)
        assert looked_at(store) == 0
    nursery.cancel_scope.cancel()
