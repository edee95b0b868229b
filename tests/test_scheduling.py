"""What conftest promises: tasks run in an order that a seed decides, whatever was imported."""

from __future__ import annotations

import random
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from trio._core import _run as trio_run

from tests.conftest import seed_schedule

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parent.parent


def interleaving(seed: int) -> list[int]:
    """Return the order in which eight tasks of four steps each ran."""
    steps: list[int] = []

    async def task(name: int) -> None:
        for _ in range(4):
            steps.append(name)
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for name in range(8):
                nursery.start_soon(task, name)

    seed_schedule(seed)
    trio.run(main)
    return steps


def test_the_same_seed_gives_the_same_order() -> None:
    for seed in range(5):
        assert interleaving(seed) == interleaving(seed)


def test_seeds_differ() -> None:
    assert len({tuple(interleaving(seed)) for seed in range(5)}) > 1


def test_the_order_does_not_need_hypothesis() -> None:
    """A child interpreter without the real Hypothesis gives the order that we get here."""
    program = (
        "import sys, types\n"
        "from unittest.mock import MagicMock\n"
        "sys.modules['hypothesis'] = MagicMock()\n"
        "from tests.test_scheduling import interleaving\n"
        "print(interleaving(3))\n"
    )
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == str(interleaving(3))


def test_a_tests_order_does_not_depend_on_the_tests_before_it(request: pytest.FixtureRequest) -> None:
    """Whatever was drawn before, this very test began with the seed of its own name."""
    seed = zlib.crc32(request.node.nodeid.encode()) ^ request.config.getoption("--schedule-seed")
    assert trio_run._r.getstate() == random.Random(seed).getstate()
