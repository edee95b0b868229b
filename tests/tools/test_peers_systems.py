"""Runs of systems: our processes drive a peer, and what all of them saw is one set of figures."""

from __future__ import annotations

import argparse
import http.server
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from loadgen.cli import add_arguments
from loadgen.figures import RATE
from loadgen.settings import LoadSettings, load_settings
from loadgen.workload import WorkloadSettings
from tests.tools.fake_peers import FakeRedis, listening
from tools import peers_systems
from tools.peers_process import free_ports
from tools.peers_systems import POINTS, SYSTEMS, Run, System, drive, is_etcd_leader, load_words, share

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from replica.config import Settings


@contextmanager
def etcd_gateway(answers: dict[str, Any]) -> Iterator[int]:
    """Serve etcd's JSON gateway; yield the port."""

    class Gateway(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(answers[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Gateway) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def test_two_processes_drive_a_peer_and_their_figures_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_systems, "WARMUP_SECONDS", 0.1)
    redis = FakeRedis()
    with listening(redis.talk) as address:
        figures = drive(Run("4 x 15", 0.5, tmp_path, tmp_path), "resp", address)
    rate = figures[RATE]
    assert rate is not None
    assert 0 < rate * 0.5 <= len(redis.requests)
    assert figures["failed"] == figures["unknown"] == 0
    for kind in ("strong", "causal"):
        p50, p99 = figures[f"{kind}_p50_ms"], figures[f"{kind}_p99_ms"]
        assert p50 is not None
        assert p99 is not None
        assert 0 < p50 <= p99
    assert sorted(path.name for path in tmp_path.iterdir()) == ["driver-0.log", "driver-1.log"]


def asked(run: Run, **flags: object) -> tuple[LoadSettings, Settings]:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return load_settings(parser.parse_args(load_words(run, **flags)), {})


def test_triskele_is_asked_for_the_same_load(tmp_path: Path) -> None:
    settings, cluster = asked(Run("16 x 15", 2.5, tmp_path, tmp_path), durability="disk")
    assert (settings.local, settings.streams, settings.pendings, settings.clients, settings.seconds) == (3, 16, 15, 2, 2.5)
    assert cluster.durability == "disk"
    assert not settings.floor
    assert settings.workload_settings(None) == WorkloadSettings(streams=16)


def test_triskele_is_asked_for_floors_and_for_another_workload(tmp_path: Path) -> None:
    run = Run("16 x 15 all strong half writes", 2.5, tmp_path, tmp_path)
    settings, _ = asked(run, durability="memory", floor=True, local=5)
    assert (settings.floor, settings.local) == (True, 5)
    assert settings.workload_settings(None) == WorkloadSettings(streams=16, causal_percent=0.0, write_percent=50.0)


@pytest.mark.parametrize("name", POINTS)
def test_peers_get_the_workload_that_triskele_gets(name: str, tmp_path: Path) -> None:
    point = POINTS[name]
    settings, _ = asked(Run(name, 1.0, tmp_path, tmp_path))
    assert (settings.clients, settings.threads, settings.pendings) == (point.clients, point.threads, point.pendings)
    assert attrs.asdict(settings.workload_settings(None)) == share(point, 0, point.threads)["workload"]


def test_a_member_leads_when_it_says_so_and_answers_a_current_read() -> None:
    status: dict[str, Any] = {"leader": "7", "header": {"member_id": "7"}}
    answered: dict[str, Any] = {"header": {}}
    for answers, leads in (
        ({"/v3/maintenance/status": status, "/v3/kv/range": answered}, True),
        ({"/v3/maintenance/status": status, "/v3/kv/range": {"error": "no leader"}}, False),
        ({"/v3/maintenance/status": status | {"leader": "8"}, "/v3/kv/range": answered}, False),
        ({"/v3/maintenance/status": {"header": {"member_id": "7"}}, "/v3/kv/range": answered}, False),
    ):
        with etcd_gateway(answers) as port:
            assert is_etcd_leader(port) == leads
    assert not is_etcd_leader(free_ports(1)[0])


def test_a_system_is_missing_where_its_program_is(tmp_path: Path) -> None:
    assert not SYSTEMS["triskele-disk"].missing(tmp_path)
    worth: dict[str, Any] = dict.fromkeys(("strong", "causal", "linearizable", "durable", "exactly_once"), "")
    assert System("other", peers_systems.measure_redis, "no-such-program", "", **worth).missing(tmp_path)
    assert not System("other", peers_systems.measure_redis, "sh", "", **worth).missing(tmp_path)
    (tmp_path / "pysyncobj").mkdir()
    assert not SYSTEMS["pysyncobj"].missing(tmp_path)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_says_what_its_answers_are_worth(name: str) -> None:
    system = SYSTEMS[name]
    assert all((system.strong, system.causal, system.linearizable, system.durable, system.exactly_once))
    assert bool(system.program) == bool(system.install)
