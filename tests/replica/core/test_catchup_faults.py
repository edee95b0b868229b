from __future__ import annotations

import math

import pytest

from replica.core.effects import Received
from replica.core.journal import Journal
from tests.replica.core.lone import Lone
from tests.replica.core.transfer import FOLLOWER, Transfer, parts_of


def test_a_fault_of_our_own_while_a_state_is_installed_is_not_told_as_the_leaders(monkeypatch: pytest.MonkeyPatch) -> None:
    def install(*_: object) -> None:
        raise ValueError("a bug of ours")

    store = Transfer(keys=5).node.store
    parts = parts_of(9, 1, 1, store=store)
    lone = Lone(FOLLOWER, durable=True, election_seconds=math.inf)
    for part in parts[:-1]:
        lone.tell(0, part)
    monkeypatch.setattr(Journal, "on_installed", install)
    with pytest.raises(ValueError, match="a bug of ours"):
        lone.replica.step(Received(0, [parts[-1]]), 0.0)
