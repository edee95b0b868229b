"""Faults in nurseries, the short version; the long one is ``python -m tests.runtime --faults 10000``. A check that never failed proves nothing: the
second half plants bugs in the code around the core, and each must be found by name."""

from __future__ import annotations

import gc
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING

import pytest
import trio

from replica.client_driver import ClientDriver
from replica.driver import ReplicaDriver
from replica.server import Server
from replica.storage.jobs import SyncJob
from tests.runtime.catalogue import CATALOGUE, names_for
from tests.runtime.run import FAULTS, run
from transport import fabric
from transport.hub import Hub
from transport.memory import MemoryLink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.runtime.run import Report

SEEDS = range(-(-len(CATALOGUE) // FAULTS))


@cache
def report_of(seed: int) -> Report:
    return run(seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds_whatever_fails(seed: int) -> None:
    report = report_of(seed)
    assert not report.failure, "\n".join((*report.story, report.failure, f"python -m tests.runtime --seed {seed}"))
    assert report.struck
    assert report.completed > 30


def test_the_short_version_tries_every_fault() -> None:
    assert {name for seed in SEEDS for name in names_for(seed, FAULTS)} == set(CATALOGUE)


def test_a_fault_that_is_tried_strikes() -> None:
    """Hardly any is tried in vain: else the long version would have to try for hours."""
    reports = [report_of(seed) for seed in SEEDS]
    assert sum(len(report.struck) for report in reports) >= 0.95 * sum(len(report.tried) for report in reports) > 0


def test_a_seed_repeats_its_run_to_the_last_frame() -> None:
    first, second = run(3), run(3)
    assert first == second
    assert first.digest != run(4).digest


# ------------------------------------------------------------------------------------------------------------------------ planted bugs


def found(names: Sequence[str], seeds: int = 12) -> str:
    """Return the failures of some runs with these faults, until there is one."""
    for seed in range(seeds):
        failure = run(seed, names).failure
        if failure:
            return failure
    return ""


def test_a_turn_that_swallows_what_was_raised_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    end_turn = ReplicaDriver.end_turn

    def swallowing(self: ReplicaDriver) -> None:
        try:
            end_turn(self)
        except Exception:  # noqa: BLE001 - the planted bug
            self.broken = False

    monkeypatch.setattr(ReplicaDriver, "end_turn", swallowing)
    assert "lives on after" in found(["raise at turn.before_send"])


def test_a_replica_that_ends_without_a_reason_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "_judge_end", lambda *_: None)
    assert "is dead, and nobody killed it" in found(["cancel timers"])


def test_an_acknowledgement_before_its_sync_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def pretending(self: SyncJob) -> None:
        self.done = True

    monkeypatch.setattr(SyncJob, "run", pretending)
    assert "was durable" in found(["lose power"] * 3)


def test_half_a_frame_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    transmit = MemoryLink._transmit

    def cutting(self: MemoryLink) -> None:
        if self.frames_out % 8 == 0:
            self._outbox[-1] = self._outbox[-1][: len(self._outbox[-1]) // 2]
        transmit(self)

    monkeypatch.setattr(MemoryLink, "_transmit", cutting)
    assert "refused an honest sender" in found(["kill"])


def test_a_link_that_is_never_missed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fabric, "SILENCE_SECONDS", 1e9)
    assert "liveness" in found(["half open"] * 10)


def test_a_client_that_swallows_what_was_raised_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    end_turn = ClientDriver.end_turn

    def swallowing(self: ClientDriver) -> None:
        with suppress(Exception):
            end_turn(self)

    monkeypatch.setattr(ClientDriver, "end_turn", swallowing)
    assert "client 0 lives on after" in found(["raise in a client at client.turn_begin"])


def test_a_newcomer_that_clients_never_dial_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf(_: ClientDriver) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(ClientDriver, "run_discovery", deaf)
    assert "liveness" in found(["members replace"] * 4)


@pytest.mark.parametrize("fault", ["stop at turn.end", "stop while leading", "stop paused"])
def test_a_replica_that_does_not_stop_is_found(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setattr(Server, "stop", lambda _: None)
    assert "has not stopped within" in found([fault])


def test_a_leaked_task_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Server.close

    def leaving(self: Server) -> None:
        close(self)
        trio.lowlevel.spawn_system_task(trio.sleep_forever, context=copy_context())

    monkeypatch.setattr(Server, "close", leaving)
    assert "left tasks" in found(["kill"])


def test_a_leaked_descriptor_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hub, "close", lambda _: None)
    assert "descriptors leaked" in found(["kill"])
    gc.collect()  # or they would be given back in the midst of another test's run
