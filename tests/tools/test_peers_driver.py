"""The client process for peers, over real sockets: a closed loop that counts what was acknowledged and nothing else."""

from __future__ import annotations

import io
import json
from typing import Any

import attrs
import pytest

from loadgen.workload import CLASSES, WorkloadSettings
from tests.tools.fake_peers import FakeEtcd, FakeRedis, listening
from tools import peers_driver
from tools.peers_driver import drawn, main, operations_of

IN_FLIGHT = 5
WORKLOAD = attrs.asdict(WorkloadSettings(key_space=100, streams=2))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A clock that goes on by a step whenever somebody looks: as many turns on a busy machine as on an idle one."""
    told = {"now": 0.0, "step": 0.0001}

    def monotonic() -> float:
        told["now"] += told["step"]
        return told["now"]

    monkeypatch.setattr(peers_driver, "monotonic", monotonic)
    return told


def driven(address: str, wire: str, seconds: float = 0.2) -> tuple[int, list[Any]]:
    """Run the driver; return its status and what it told."""
    order = {"wire": wire, "address": address, "streams": 2, "first_stream": 0, "in_flight": IN_FLIGHT, "workload": WORKLOAD}
    answers = io.StringIO()
    times = {"begin": 0.0, "start": 0.02, "end": seconds}
    status = main(io.StringIO(f"{json.dumps(order)}\n{json.dumps(times)}\n"), answers)
    return status, [json.loads(line) for line in answers.getvalue().splitlines()]


def test_operations_are_those_of_the_load_generator() -> None:
    """Over the end of a block too."""
    (operations, _), (same, _) = (operations_of({"workload": WORKLOAD, "first_stream": 0, "streams": 2}) for _ in range(2))
    runs = [run for _ in range(5) for run in drawn(operations, 1000)]
    assert sum(len(keys) for _, keys, _ in runs) == 5000
    assert {class_ for class_, _, _ in runs} == {0, 1, 2, 3}
    assert all(len(values) == (len(keys) if CLASSES[class_].endswith("write") else 0) for class_, keys, values in runs)
    writes = sum(len(values) for _, _, values in runs)
    assert 400 < writes < 600
    assert runs[0][1] == same.take(1000)[1]


def test_redis_is_driven_with_as_many_commands_in_flight_as_asked_for() -> None:
    redis = FakeRedis()
    with listening(redis.talk) as address:
        status, (ready, result) = driven(address, "resp")
    assert (status, ready, result["failed"]) == (0, "ready", 0)
    assert 0 < result["operations"] < len(redis.requests)
    assert 0 < result["written"] < result["operations"] / 2
    assert redis.most_at_once <= IN_FLIGHT
    names = [words[0] for words in redis.requests]
    assert names.count(b"SET") == names.count(b"WAIT") > 0
    assert {len(words[2]) for words in redis.requests if words[0] == b"SET"} == {100}


def test_a_write_that_no_replica_has_is_no_success() -> None:
    with listening(FakeRedis(replicas=0).talk) as address:
        _, (_, result) = driven(address, "resp")
    assert result["failed"] > 0
    assert result["written"] == 0
    assert result["operations"] > 0  # reads


def test_etcd_is_driven_over_grpc() -> None:
    etcd = FakeEtcd()
    with listening(etcd.talk) as address:
        status, (_, result) = driven(address, "grpc")
    assert (status, result["failed"]) == (0, 0)
    assert 0 < result["operations"] < sum(etcd.paths.values())
    assert etcd.paths[b"Range"] > etcd.paths[b"Put"] > 0


def test_a_peer_that_cannot_be_used_is_one_line(clock: dict[str, float]) -> None:
    clock["step"] = 30.0
    with listening(lambda data: (b"", len(data))) as address:
        assert driven(address, "resp", 1000.0) == (1, ["ready", {"failure": "the peer was silent for 10 s"}])
    assert driven(address, "resp") == (1, [{"failure": "[Errno 111] Connection refused"}])
    with listening(lambda _: (b"?\r\n", 0)) as address:
        assert driven(address, "resp") == (1, ["ready", {"failure": "Redis answered b'?'"}])
