"""A short run with real replicas, proxies and load."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from loadgen.checkers.formats import read
from triskele.chaos.run import chaos
from triskele.chaos.settings import ChaosSettings

if TYPE_CHECKING:
    from pathlib import Path


def test_the_leader_dies_under_load_and_everything_holds(tmp_path: Path) -> None:
    said: list[str] = []
    load = "--clients 1 --threads 4 --rate 200"
    settings = ChaosSettings(replicas=3, seconds=6.0, seed=3, output=tmp_path, nemeses=("kill",), load=load)
    result = chaos(settings, said.append)
    assert result["problems"] == []
    assert result["passed"]
    assert {fault["fault"]["nemesis"] for fault in result["faults"]} == {"kill"}
    assert all(fault["touched"] for fault in result["faults"])
    assert any(ending["words"] == "was killed by SIGKILL" for ending in result["endings"])
    assert result["operations"] > 100
    assert len(result["throughput_series"]) == 60
    assert result["agreement"]["verdict"] == "equal"
    assert len(read(settings.history, "jsonl").operations) == result["check"]["operations_checked"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.jsonl", "replicas.log"]  # the cluster's folder is gone
    assert json.dumps(result)
    assert any("kill of" in line for line in said)
