"""A short run with real replicas, proxies and load."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loadgen.checkers.formats import read
from loadgen.report import CHECKED
from replica.config import SettingError
from tests.triskele.chaos.tracing import may_trace
from triskele.chaos import run
from triskele.chaos.disks import CannotTrace
from triskele.chaos.settings import ChaosSettings
from triskele.child import child_environment

if TYPE_CHECKING:
    from pathlib import Path

    from replica.cluster_file import ClusterFile


def test_the_leader_dies_under_load_and_everything_holds(tmp_path: Path) -> None:
    said: list[str] = []
    load = "--clients 1 --threads 4 --rate 200"
    settings = ChaosSettings(replicas=3, seconds=6.0, seed=3, output=tmp_path, nemeses=("kill",), load=load)
    result = run.chaos(settings, said.append)
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


def test_replicas_whose_disks_fail_end_and_tell_why_and_everything_holds(tmp_path: Path) -> None:
    load = "--clients 1 --threads 4 --rate 200"
    settings = ChaosSettings(replicas=3, seconds=6.0, seed=1, output=tmp_path, nemeses=("disk-error",), load=load)
    if not may_trace():
        with pytest.raises((SettingError, CannotTrace, ExceptionGroup), match="strace"):
            run.chaos(settings, lambda _: None)
        return
    result = run.chaos(settings, lambda _: None)
    assert result["problems"] == []
    assert {ending["words"] for ending in result["endings"]} == {"ended with status 1"}
    assert re.search(
        r"replica-\d/log-\d+\.segment: sync failed: Input/output error; make room or replace the disk", (tmp_path / "replicas.log").read_text()
    )


def test_an_interrupt_leaves_a_partial_report_and_no_folders_of_the_cluster(tmp_path: Path) -> None:
    words = ["chaos", "--seconds", "30", "--seed", "3", "--nemesis", "kill", "--load=--clients 1 --threads 4 --rate 200", "--output", str(tmp_path)]
    command = [sys.executable, "-m", "triskele", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment()) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "kill of" in line:
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "NOT AS IT SHOULD BE: stopped by SIGINT after " in out
    assert "\npartial: " in out
    result = json.loads((tmp_path / "chaos.json").read_text())
    assert (result["partial"], result["passed"], result["stopped"], result["cluster_folder"]) == (True, False, "SIGINT", None)
    assert [result["check"][name] for name in CHECKED] == ["yes"] * len(CHECKED)
    assert len(result["problems"]) == 1
    assert (tmp_path / "report.md").read_text().startswith("# Chaos, seed 3: PARTIAL\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chaos.json", "history.jsonl", "replicas.log", "report.html", "report.md"]


class Interrupting(run._Opening):
    """As its base; who makes it is told to end."""

    def __init__(self, cluster: ClusterFile) -> None:
        super().__init__(cluster)
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_interrupt_before_the_load_began_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_Opening", Interrupting)
    settings = ChaosSettings(replicas=3, seconds=6.0, seed=3, output=tmp_path, nemeses=("kill",))
    with pytest.raises(run.Stopped, match="chaos: stopped by SIGTERM before the load began, nothing is reported") as caught:
        run.chaos(settings, lambda _: None)
    assert caught.value.exit_status == 143
    assert [path.name for path in tmp_path.iterdir()] == ["replicas.log"]


def test_what_was_never_answered_has_an_unknown_outcome() -> None:
    types = [("invoke", {}), ("invoke", {}), ("invoke", {}), ("invoke", {}), ("ok", {}), ("fail", {"swapped": False}), ("fail", {}), ("invoke", {})]
    assert run.outcomes([{"type": type_, **more} for type_, more in types]) == {"failed": 1, "unknown": 2}
