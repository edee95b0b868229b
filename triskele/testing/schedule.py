"""Runs that repeat: Trio's task order by a seed, and virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio
from trio._core import _run as trio_run
from trio.testing import MockClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Result = TypeVar("Result")


def seed_schedule(seed: int) -> None:
    """Let Trio shuffle its runnable tasks by this seed from now on; a test's order then depends on nothing that was imported or ran before it.

    Trio has a switch for that, which it keeps to itself (importing Hypothesis flips it).

    Raises:
        AttributeError: this version of Trio has none.
    """
    if not hasattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING"):
        raise AttributeError(f"trio {trio.__version__} has no switch for seeded scheduling")
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # noqa: SLF001
    trio_run._r.seed(seed)  # noqa: SLF001


def run(main: Callable[..., Awaitable[Result]], *arguments: object, seed: int = 0) -> Result:
    """Run an async function as ``trio.run`` does, its tasks ordered by the seed, on a clock that jumps ahead whenever all tasks wait."""
    seed_schedule(seed)
    return trio.run(main, *arguments, clock=MockClock(autojump_threshold=0))
