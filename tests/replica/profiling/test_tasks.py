from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
import trio.testing

from replica.profiling import tasks
from replica.profiling.tasks import frames_of, task_text, task_tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


async def waits_for(event: trio.Event) -> None:
    await event.wait()


async def opens_another(event: trio.Event) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits_for, event, name="child")
        await waits_for(event)


@asynccontextmanager
async def family() -> AsyncIterator[dict[str, Any]]:
    """A task with a child of its own, and the tree above them."""
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opens_another, event, name="parent")
        nursery.start_soon(waits_for, event, name="another")
        await trio.testing.wait_all_tasks_blocked()
        yield task_tree(trio.lowlevel.current_task())
        event.set()


async def test_every_task_is_in_the_tree_below_its_parent() -> None:
    async with family() as tree:
        ((another, parent),) = [children for children in tree["nurseries"] if children]
        assert (another["name"], parent["name"]) == ("another", "parent")
        assert [child["name"] for children in parent["nurseries"] for child in children] == ["child"]


async def test_a_task_tells_where_it_waits_from_the_outside_in() -> None:
    async with family() as tree:
        parent = tree["nurseries"][-1][1]
        names = [place.partition(" ")[0] for place in parent["waits"]]
        assert names[:3] == ["opens_another", "waits_for", "Event.wait"]
        assert "test_tasks.py:" in parent["waits"][1]


async def test_the_text_names_the_last_place_that_is_not_trio_s() -> None:
    async with family() as tree:
        lines = task_text(tree).splitlines()
        (line,) = [line for line in lines if line.strip().startswith("child:")]
        assert "waits_for (" in line
        assert line.index("child") > lines[1].index("another")


async def test_the_whole_tree_begins_at_trio_s_root() -> None:
    assert "test_the_whole_tree" in task_text(task_tree())


async def test_a_huge_tree_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TASKS_MAX", 2)
    async with family() as tree:
        assert tree["left_out"] == 1
        assert task_text(tree).endswith("and 1 more, and what is below\n")


def test_a_finished_coroutine_waits_nowhere() -> None:
    coroutine = waits_for(trio.Event())
    coroutine.close()
    assert list(frames_of(coroutine)) == []
