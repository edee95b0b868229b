from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from replica.cluster_file import read_cluster_file
from triskele.cli import main
from triskele.cli.status import _table

if TYPE_CHECKING:
    import pytest


def test_status_shows_every_replica(real_cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--cluster", real_cluster]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[:1] == ["id"]
    assert [line.split()[:2] for line in lines[1:]] == [["0", "leader"], ["1", "follower"], ["2", "follower"]]


def test_status_as_json_has_the_published_fields(real_cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--cluster", real_cluster, "-o", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    published = {"id", "role", "view", "leader", "commit", "applied", "config_id", "mode", "state_hash", "home_sessions", "turn_seconds_max"}
    assert [row["id"] for row in rows] == [0, 1, 2]
    assert all(published <= row.keys() for row in rows)


def test_admin_addresses_do_as_well(real_cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    admins = ",".join(place.admin for place in read_cluster_file(Path(real_cluster)).replicas)
    assert main(["status", "--cluster", admins, "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3


def test_a_replica_that_cannot_be_asked_is_named_and_the_status_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert main(["status", "--cluster", address, "--timeout", "2"]) == 1
    assert f"0   {address}/status: Connection refused" in capsys.readouterr().out


def test_nobody_who_leads_is_a_dash() -> None:
    assert _table([{"id": 0, "role": "candidate", "view": 4, "leader": -1}]).splitlines()[1].split()[:4] == ["0", "candidate", "4", "-"]
