"""What conftest promises: tasks run in an order that a seed decides, whatever was imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import trio

from tests.conftest import seed_schedule

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
    """A child interpreter in which Hypothesis cannot be imported by Trio's side gives the order that we get here."""
    program = (
        "import sys, types\n"
        "from unittest.mock import MagicMock\n"
        "sys.modules['hypothesis'] = MagicMock()\n"
        "from tests.test_scheduling import interleaving\n"
        "print(interleaving(3))\n"
    )
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == str(interleaving(3))


def test_a_tests_order_does_not_depend_on_the_tests_before_it(tmp_path: Path) -> None:
    """Alone or after another test that drew a lot: the same order; with another --schedule-seed: another one."""
    module = tmp_path / "test_orders.py"
    module.write_text(
        "import pathlib, trio\n"
        "async def order(path):\n"
        "    steps = []\n"
        "    async def task(name):\n"
        "        for _ in range(8):\n"
        "            steps.append(name)\n"
        "            await trio.lowlevel.checkpoint()\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        for name in range(4):\n"
        "            nursery.start_soon(task, name)\n"
        "    path.write_text(repr(steps))\n"
        "async def test_first(tmp_path):\n"
        "    await order(tmp_path / 'first')\n"
        "async def test_second(request):\n"
        "    await order(pathlib.Path(request.config.rootpath) / 'second')\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n")

    def second(*arguments: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        child = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert child.returncode == 0, child.stdout
        return (tmp_path / "second").read_text()

    assert second("test_orders.py") == second("test_orders.py::test_second")
    assert second("test_orders.py") != second("test_orders.py", "--schedule-seed", "1")
