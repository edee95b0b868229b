from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

import triskele
from triskele.testing import cluster, run
from triskele.testing.schedule import seed_schedule

if TYPE_CHECKING:
    from trio.testing import MockClock

    from replica.config import Durability

ROOT = Path(__file__).resolve().parents[3]


async def eventful(durability: Durability, seed: int) -> str:
    """Live through some faults; return the digest of all frames."""
    async with cluster(3, seed=seed, durability=durability) as c, c.store() as store:
        c.fabric.delay(0.001, 0.02)
        c.fabric.reorder(0.1)
        c.fail_at("turn.before_send", replica=1, exception=RuntimeError("planted"), nth=20)
        for number in range(30):
            await store.put(b"k%d" % (number % 3), b"%d" % number, consistency=triskele.CAUSAL if number % 4 else triskele.STRONG)
        await c.wait_exited(1)
        await c.restart(1)
        await c.ready()
        await c.kill(0)
        await c.restart(0)
        await c.ready()
        assert await store.get(b"k2") == b"29"
        return f"{c.fabric.frames} {c.fabric.digest:08x} {trio.current_time()}"


@pytest.mark.parametrize("durability", ["memory", "disk"])
def test_the_same_seed_gives_the_same_run_to_the_last_frame(durability: Durability) -> None:
    told = [run(eventful, durability, 7, seed=7) for _ in range(2)]
    assert told[0] == told[1]
    assert run(eventful, durability, 8, seed=8) != told[0]


def test_a_run_does_not_depend_on_the_hash_seed_or_on_the_process() -> None:
    program = "from tests.triskele.testing.test_running import eventful, run; print(run(eventful, 'memory', 7, seed=7))"
    told = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert told == {run(eventful, "memory", 7, seed=7)}


@pytest.mark.parametrize("mode", ["paxos", "curp", "ht", "ho"])
@pytest.mark.parametrize("replicas", [1, 3, 5])
async def test_any_size_and_mode_serves(autojump_clock: MockClock, replicas: int, mode: str) -> None:  # noqa: ARG001 - virtual time
    async with cluster(replicas, mode=mode) as c, c.connect() as store:  # type: ignore[arg-type]
        await store.put(b"k", b"v")
        assert await store.get(b"k") == b"v"
        assert (c.alive, c.leader) == (list(range(replicas)), 0)
        assert c.status(0)["role"] == "leader"


async def test_what_a_disk_has_outlives_all_replicas_and_memory_does_not(autojump_clock: MockClock, tmp_path: Path) -> None:  # noqa: ARG001 - virtual time
    async with cluster(3, durability="disk", data_dir=tmp_path) as c, c.store() as store:
        await store.put(b"k", b"v")
        for replica in c.alive:
            c.kill(replica)
        for replica in (0, 1, 2):
            await c.restart(replica)
        await c.ready()
        assert await store.get(b"k") == b"v"
    async with cluster(3, durability="disk", data_dir=tmp_path) as c, c.store() as store:
        assert await store.get(b"k") == b"v"
    async with cluster(3) as c:
        for replica in c.alive:
            c.kill(replica)
        for replica in (0, 1, 2):
            await c.restart(replica)
        with pytest.raises(trio.TooSlowError):
            await c.ready(timeout=20)


async def test_an_exit_that_nobody_asked_for_is_raised_at_the_end(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    with pytest.raises(BaseExceptionGroup, match="nobody asked why") as caught:
        async with cluster(3) as c:
            c.fail_at("turn.begin", replica=2, exception=ValueError("unseen"))
            await trio.sleep(1)
    assert [repr(error) for error in caught.value.exceptions] == ["ValueError('unseen')"]


async def test_what_the_block_raises_leaves_as_itself(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    with pytest.raises(KeyError, match="mine"):
        async with cluster(3):
            raise KeyError("mine")


async def test_real_time_works_too() -> None:
    seed_schedule(0)
    async with cluster(3) as c, c.store() as store:
        await store.put(b"k", b"v")
        assert await store.get(b"k") == b"v"


def test_the_testing_module_is_there_when_it_is_first_used() -> None:
    words = [sys.executable, "-c", "import triskele; print(triskele.testing.cluster.__name__)"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "cluster\n"


async def test_clients_that_come_and_go_are_no_news(
    autojump_clock: MockClock,  # noqa: ARG001 - virtual time
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with cluster() as c:
        caplog.clear()
        async with c.store() as store:
            await store.put(b"k", b"v")
        await trio.sleep(1)
        assert [line for line in caplog.messages if not line.startswith("link memory:r")] == []  # what is left is the client's own news
