from __future__ import annotations

import trio
from trio._core import _run as trio_run

from triskele.testing import run, seed_schedule


async def interleaving() -> list[int]:
    """Return the order in which eight tasks of four steps each ran, and wait an hour."""
    steps: list[int] = []

    async def task(name: int) -> None:
        for _ in range(4):
            steps.append(name)
            await trio.lowlevel.checkpoint()
        await trio.sleep(3600)

    async with trio.open_nursery() as nursery:
        for name in range(8):
            nursery.start_soon(task, name)
    return steps


def test_a_run_repeats_by_its_seed_and_waits_for_nothing() -> None:
    assert run(interleaving, seed=1) == run(interleaving, seed=1)
    assert run(interleaving, seed=1) != run(interleaving, seed=2)


def test_the_switch_is_on_whatever_was_imported() -> None:
    seed_schedule(3)
    assert trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    first = trio_run._r.random()
    seed_schedule(3)
    assert trio_run._r.random() == first
