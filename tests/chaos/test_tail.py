"""A tail is a list that lost its beginning, against a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.tail import Tail


@given(st.integers(0, 12), st.integers(-1, 14), st.integers(0, 3), st.integers(0, 14), st.integers(0, 14))
def test_places_are_those_of_a_list(count: int, place: int, more: int, start: int, stop: int) -> None:
    tail, whole = Tail[int](), list(range(count + more))
    for item in whole[:count]:
        tail.append(item)
    first = max(0, min(place, count))
    assert tail.forget(place) == whole[:first]
    for item in whole[count:]:
        tail.append(item)
    assert (tail.first, len(tail)) == (first, len(whole))
    assert list(tail) == whole[first:]
    assert list(reversed(tail)) == whole[:first:-1] + whole[first : first + 1] if whole[first:] else not list(reversed(tail))
    assert tail[start:stop] == whole[max(start, first) : max(stop, first)]
    assert [tail[number] for number in range(first, len(whole))] == whole[first:]


def test_what_is_forgotten_cannot_be_asked_for() -> None:
    tail = Tail[int]()
    tail.append(1)
    tail.append(2)
    tail.forget(1)
    assert tail[1] == 2
    for place in (0, 2, -1):
        with pytest.raises(IndexError):
            tail[place]
