"""The command: from flags to reports and an exit status."""

from __future__ import annotations

import argparse
import json
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from loadgen import cli, report
from loadgen.runner import LoadFailed
from replica.config import SettingError
from tests.loadgen.results import built, client_result

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from replica.cluster_file import ClusterFile


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What ``measure`` returns; nothing is run."""
    made = built([client_result([(100, 9, 1)] * 10)])

    async def measure(*_settings: object) -> dict[str, Any]:
        return made

    monkeypatch.setattr(cli, "measure", measure)
    return made


def test_reports_are_written_and_the_table_printed(result: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: tmp_path / f"out.{name}" for name in ("json", "html", "csv")}
    flags = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    assert cli.run(arguments("--local", "3", *flags)) == 0
    assert json.loads(files["json"].read_text()) == json.loads(json.dumps(result))
    assert files["html"].read_text().startswith("<!doctype html>")
    assert len(files["csv"].read_text().splitlines()) == 2
    assert capsys.readouterr().out.startswith("1,000 operations in 1.00 s")


def test_quiet_prints_nothing(result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert result
    assert cli.run(arguments("--local", "3", "--quiet")) == 0
    assert capsys.readouterr() == ("", "")


def test_failed_operations_fail_the_command(result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    result |= {"unknown": 2, "reasons": {"session expired": 2}}
    assert cli.run(arguments("--local", "3", "--quiet")) == 1
    assert capsys.readouterr().err == "triskele: load: 0 operations failed, 2 have an unknown outcome: 2 session expired\n"


def test_a_check_that_did_not_pass_fails_the_command(
    result: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check: dict[str, Any] = dict.fromkeys(report.CHECKED, "yes") | {
        "operations_checked": 9,
        "seconds": 0.1,
        "reasons": {},
        "counterexamples": {},
        "vacuous": None,
    }
    assert result["check"] is None
    monkeypatch.setattr(cli, "finish_history", lambda *_: check)
    for answer, status in (("yes", 0), ("no", 1), ("unknown", 1)):
        check["hybrid"] = answer
        assert cli.run(arguments("--local", "3", "--check")) == status
        told = capsys.readouterr()
        assert f"hybrid {answer}" in told.out
        assert (f"triskele: load: the check did not pass: hybrid {answer}\n" in told.err) == bool(status)
    check |= {"hybrid": "yes", "vacuous": "9 operations were answered"}
    assert cli.run(arguments("--local", "3", "--check", "--quiet")) == 1
    assert capsys.readouterr() == ("", "triskele: load: the check is vacuous: 9 operations were answered\n")


def test_a_run_in_which_nothing_completed_fails_and_says_so(result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    result["operations"] = 0
    assert cli.run(arguments("--local", "3", "--quiet")) == 1
    assert capsys.readouterr().err == "triskele: load: no operation completed in the measured window: nothing was measured\n"


@pytest.mark.parametrize("name", ["json", "html", "csv"])
def test_a_report_that_cannot_be_written_after_the_run_is_a_line_and_costs_nothing_else(
    name: str, result: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A device that is always full can be opened, and then not be written."""
    other = tmp_path / "other"
    assert result
    assert cli.run(arguments("--local", "3", f"--{name}", "/dev/full", "--csv" if name == "json" else "--json", str(other))) == 1
    told = capsys.readouterr()
    assert told.err == f"triskele: --{name} /dev/full: could not be written: No space left on device\n"
    assert told.out.startswith("1,000 operations in 1.00 s")
    assert other.stat().st_size


@pytest.mark.parametrize("name", ["json", "html", "csv", "history"])
def test_a_file_that_cannot_be_written_is_refused_before_the_run(name: str, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none" / "file"):
        with pytest.raises(SettingError, match=f"--{name} .*: cannot be written"):
            cli.run(arguments("--local", "3", f"--{name}", str(place)))


def test_a_cluster_that_is_no_cluster_is_refused() -> None:
    with pytest.raises(SettingError, match="--cluster nowhere"):
        cli.run(arguments("--cluster", "nowhere"))


def test_an_address_list_has_no_websocket_addresses() -> None:
    with pytest.raises(SettingError, match="--transport websocket: the cluster has no such addresses"):
        cli.run(arguments("--cluster", "127.0.0.1:1", "--transport", "websocket"))


def test_an_unreachable_cluster_fails_with_a_line() -> None:
    with pytest.raises(LoadFailed, match=r"cannot reach the cluster at 127\.0\.0\.1:1 within 0\.2 s: nobody answers"):
        cli.run(arguments("--cluster", "127.0.0.1:1", "--connect-seconds", "0.2", "--quiet"))


def test_a_run_from_flags_to_reports_and_history(
    cluster: ClusterFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything at once, but for starting a cluster of its own."""

    @asynccontextmanager
    async def target(*_settings: object) -> AsyncIterator[ClusterFile]:
        yield cluster

    monkeypatch.setattr(cli, "target", target)
    history, json_file = tmp_path / "history.jsonl", tmp_path / "report.json"
    flags = ["--clients", "1", "--threads", "2", "--seconds", "1", "--warmup-seconds", "0.2", "--key-space", "500", "--check"]
    assert cli.run(arguments(*flags, "--history", str(history), "--json", str(json_file))) == 0
    shown = capsys.readouterr()
    assert "bottleneck: " in shown.out
    assert "    1 s " in shown.err
    written = json.loads(json_file.read_text())
    assert written["settings"]["mode"] == "ho"
    assert written["operations"] == written["throughput_series"][0][1] == sum(client["operations"] for client in written["clients"])
    assert [replica["role"] for replica in written["replicas"]].count("leader") == 1
    assert all(replica["syscalls"]["send"] > 0 for replica in written["replicas"])
    assert written["check"]["vacuous"] is None
    assert {json.loads(line)["type"] for line in history.read_text().splitlines()} == {"before", "invoke", "ok"}
    assert [written["check"][name] for name in ("linearizable", "sessions", "causal", "hybrid", "exactly_once")] == ["yes"] * 5
    assert written["check"]["operations_checked"] >= written["operations"]
    assert "linearizable yes, sessions yes, causal yes, hybrid yes, exactly once yes" in shown.out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_everything_in_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals, status: int
) -> None:
    ended: list[str] = []

    async def measure(*_settings: object) -> dict[str, Any]:
        try:
            os.kill(os.getpid(), number)
            await trio.sleep(60)
        finally:
            ended.append("in order")
        return {}

    monkeypatch.setattr(cli, "measure", measure)
    assert cli.run(arguments("--local", "3")) == status
    assert ended == ["in order"]
    assert capsys.readouterr().err == f"triskele: load: stopped by {number.name}, nothing is reported\n"
