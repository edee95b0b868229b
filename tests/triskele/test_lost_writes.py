from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from triskele.lost_writes import LostWrites

if TYPE_CHECKING:
    from collections.abc import Callable


async def in_a_task(call: Callable[[], object]) -> object:
    """Call something in a task of its own, which then ends."""
    found = []

    async def run() -> None:
        found.append(call())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
    return found[0]


async def test_a_writer_hears_once_even_if_others_heard_before() -> None:
    lost = LostWrites()
    lost.wrote()
    lost.replaced("expired")
    assert await in_a_task(lost.take) == "expired", "somebody must hear, and be it one that did not write"
    assert await in_a_task(lost.take) == ""
    assert (lost.take(), lost.take()) == ("expired", "")


async def test_who_heard_of_the_loss_as_it_happened_does_not_hear_again() -> None:
    lost = LostWrites()
    lost.wrote()
    await in_a_task(lost.wrote)
    lost.told()
    lost.replaced("expired")
    assert lost.take() == ""


async def test_a_session_that_is_replaced_without_a_loss_is_nobody_s_news() -> None:
    lost = LostWrites()
    lost.wrote()
    lost.replaced("")
    assert lost.take() == ""
    lost.replaced("expired")
    assert lost.take() == "expired", "nobody wrote to it that is known, yet something is missing"


async def test_what_is_due_is_kept_when_the_next_session_is_replaced_in_order() -> None:
    lost = LostWrites()
    lost.wrote()
    lost.replaced("expired")
    assert await in_a_task(lost.take) == "expired"
    lost.replaced("")
    assert lost.take() == "expired"


async def test_tasks_that_ended_are_forgotten() -> None:
    lost = LostWrites()
    await in_a_task(lost.wrote)
    lost.replaced("expired")
    assert lost.take() == "expired"
    assert list(lost._due) == []
