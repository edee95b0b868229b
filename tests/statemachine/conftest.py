"""Sizes so small that a handful of keys meets every limit, merge, purge and move of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from statemachine import moment, sessions
from statemachine.hashing import StateHash
from statemachine.order import Order
from statemachine.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="class")
def small_sizes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, "FLAT_MAX", 6)
        patch.setattr(Table, "SHARDS", 2)
        patch.setattr(Table, "MOVE_MAX", 1)
        patch.setattr(Order, "FRESH_MAX", 2)
        patch.setattr(Order, "RUN_MAX", 8)
        patch.setattr(Order, "DEAD_MAX", 2)
        patch.setattr(Order, "STEP_MIN", 1)
        patch.setattr(Order, "STEP_MAX", 2)
        patch.setattr(StateHash, "PAST_MIN", 3)
        patch.setattr(StateHash, "SLICE_KEYS", 2)
        patch.setattr(moment, "FORGET_MAX", 1)
        patch.setattr(sessions, "CHUNK_SESSIONS", 2)
        patch.setattr(sessions, "CHUNK_RESULTS", 2)
        patch.setattr(sessions, "RESULTS_MAX", 2)
        patch.setattr(sessions, "RESULTS_STEP", 2)
        yield
