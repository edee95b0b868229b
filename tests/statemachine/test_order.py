"""The order: a sorted set of the live keys, whose upkeep comes in small steps and does not lag behind."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statemachine.order import Order

pytestmark = pytest.mark.usefixtures("small_sizes")

keys = st.integers(0, 40).map(lambda number: b"%02d" % number)
pages = st.tuples(keys, st.none() | keys, st.integers(1, 12))


@given(st.lists(st.one_of(st.sets(keys, max_size=5), pages), max_size=40))
def test_it_is_a_sorted_set(script: list[set[bytes] | tuple[bytes, bytes | None, int]]) -> None:
    """A set of keys dies where they live and comes to life where they do not; a tuple asks for a page."""
    order = Order()
    live: set[bytes] = set()
    for step in script:
        if isinstance(step, set):
            for key in sorted(step & live):
                order.remove(key)
            order.add(sorted(step - live))
            order.settle()
            live ^= step
        else:
            check_page(order, live, *step)
            check_page(order.clone(), live, *step)
    check_page(order, live, b"", None, 100)


def check_page(order: Order, live: set[bytes], start: bytes, end: bytes | None, count: int) -> None:
    expected = sorted(key for key in live if start <= key and (end is None or key < end))
    page = order.page(start, end, count)
    assert page == expected[: len(page)]
    assert len(page) >= min(count, len(expected))


def test_a_clone_goes_its_own_way() -> None:
    order = Order()
    order.add([b"a", b"b", b"c"])
    other = order.clone()
    order.remove(b"b")
    other.add([b"d"])
    assert order.page(b"", None, 9) == [b"a", b"c"]
    assert other.page(b"", None, 9) == [b"a", b"b", b"c", b"d"]


def test_runs_stay_few_and_short_whatever_comes() -> None:
    random = Random(5)
    order = Order()
    live: list[bytes] = []
    for number in range(2000):
        key = b"%08d" % random.randrange(10**8)
        order.add([key])
        live.append(key)
        if number % 3 == 0:
            order.remove(live.pop(random.randrange(len(live))))
        order.settle()
    sizes = sorted(map(len, order._runs))
    assert max(sizes) <= Order.RUN_MAX
    assert len(sizes) <= 2 * sum(sizes) // Order.RUN_MAX + 4
    assert sum(sizes) + len(order._fresh) == len(live) + len(order._dead)
    assert order.page(b"", None, 3000) == sorted(live)


def test_the_dead_are_purged_without_any_scan() -> None:
    order = Order()
    order.add([b"%03d" % number for number in range(100)])
    for number in range(100):
        order.remove(b"%03d" % number)
        order.settle()
    for _ in range(100):
        order.settle()
    assert len(order._dead) <= Order.DEAD_MAX
    assert sum(map(len, order._runs)) + len(order._fresh) == len(order._dead)


def test_a_key_that_dies_and_returns_is_there_once() -> None:
    order = Order()
    for _ in range(20):
        order.add([b"k"])
        order.remove(b"k")
        order.settle()
    order.add([b"k", b"l"])
    assert order.page(b"", None, 9) == [b"k", b"l"]
