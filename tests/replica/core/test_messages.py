from __future__ import annotations

import typing

import attrs
import pytest

from replica.core import messages as m
from replica.core import peer_messages

MESSAGES: tuple[type, ...] = typing.get_args(m.Message)
NAMES = [message.__name__ for message in MESSAGES]


def test_the_union_of_messages_is_all_there_are() -> None:
    """But ``Entry``, which travels inside an Accept."""
    declared = {name for name, value in vars(m).items() if isinstance(value, type) and value.__module__ in {m.__name__, peer_messages.__name__}}
    assert declared == {*NAMES, "Entry"}


@pytest.mark.parametrize("message", [*MESSAGES, m.Entry], ids=lambda message: message.__name__)
def test_messages_are_values_of_columns(message: type) -> None:
    """Compared by what they hold, and without a dict of their own."""
    assert attrs.has(message)
    assert "__eq__" in vars(message)
    assert "__slots__" in vars(message)


@pytest.mark.parametrize("name", ["RecordAck", "SpecReply", "Applied", "StrongReadReply", "AnchorAck", "Leader", "Accept", "AcceptAck", "AcceptNack"])
def test_whatever_may_be_counted_names_its_configuration_and_view(name: str) -> None:
    """X1, D8: acks of different views never combine."""
    assert [field.name for field in attrs.fields(getattr(m, name))][:2] == ["config", "view"]


@pytest.mark.parametrize("name", ["Record", "StrongRead", "ReadIndex", "CausalRead", "SpecReply", "StrongReadReply", "CausalReadReply", "Entry"])
def test_runs_are_told_as_sessions_firsts_and_counts(name: str) -> None:
    fields = [field.name for field in attrs.fields(getattr(m, name))]
    start = fields.index("sessions")
    assert fields[start : start + 3] == ["sessions", "firsts", "counts"]
