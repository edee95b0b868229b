"""Settings of a run: where they come from, and what is refused in words."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest

from loadgen.settings import LOAD_SETTINGS, OPERATIONS_DEFAULT, LoadSettings, add_load_flags, load_settings
from replica.config import SettingError, Settings

if TYPE_CHECKING:
    from pathlib import Path


def resolve(*words: str, environment: dict[str, str] | None = None) -> tuple[LoadSettings, Settings]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_load_flags(parser)
    return load_settings(parser.parse_args(words), environment or {})


def test_every_flag_of_the_contract_exists() -> None:
    flags = [
        "clients",
        "threads",
        "pendings",
        "operations",
        "seconds",
        "warmup_seconds",
        "causal_percent",
        "write_percent",
        "causal_write_percent",
        "key_space",
        "zipf",
        "conflict_percent",
        "conflict_seconds",
        "floor",
        "value_bytes",
        "rate",
        "workload",
        "seed",
        "transport",
        "links",
        "check",
        "check_operations",
        "history",
        "json",
        "html",
        "csv",
        "quiet",
        "local",
        "cluster",
    ]
    assert set(flags) <= set(LOAD_SETTINGS)
    _, cluster = resolve("--local", "5", "--mode", "ht", "--batching", "fixed", "--batch-delay-us", "75", "--durability", "memory")
    assert (cluster.mode, cluster.batching, cluster.batch_delay_us, cluster.durability) == ("ht", "fixed", 75, "memory")
    assert resolve("--local", "5", "--durability", "disk")[1].durability == "disk"


def test_defaults_are_the_seed_workload() -> None:
    load, _ = resolve()
    assert (load.streams, load.pendings, load.measured_operations) == (16, 15, OPERATIONS_DEFAULT)
    assert load.workload_settings().shares() == pytest.approx((0.45, 0.45, 0.05, 0.05, 0.0))
    assert (load.key_space, load.zipf, load.value_bytes, load.warmup_seconds) == (1_000_000, 0.9, 100, 2.0)


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "load.toml"
    file.write_text("threads = 3\npendings = 4\nseconds = 5\nmode = 'curp'\n")
    load, cluster = resolve("--config", str(file), "--threads", "7", "--local", "3", environment={"TRISKELE_THREADS": "6", "TRISKELE_PENDINGS": "9"})
    assert (load.threads, load.pendings, load.seconds, cluster.mode) == (7, 9, 5.0, "curp")
    assert load.measured_operations == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threads", "0"], "--threads 0: must be a whole number from 1 to 1000"),
        (["--threads", "many"], "--threads many: must be a whole number"),
        (["--causal-percent", "101"], "--causal-percent 101"),
        (["--workload", "ycsb-z"], "--workload ycsb-z: must be one of mix, ycsb-a"),
        (["--local", "4"], "--local 4: must be one of 1, 3, 5, 7, 9"),
        (["--local", "3", "--cluster", "a:1"], "--local 3: --cluster says where a cluster is"),
        (["--operations", "5", "--seconds", "5"], "--operations 5: --seconds limits the run too"),
        (["--operations", "1"], "--operations 1: must be at least one for each of 2 client processes"),
        (["--conflict-percent", "5", "--workload", "ycsb-e"], "--conflict-percent 5.0: ycsb-e has no keys"),
        (["--conflict-seconds", "5"], "--conflict-seconds 5.0: ends conflicts, and there are none"),
        (["--mode", "ht"], "--mode ht: is a setting of the cluster: it goes with --local"),
        (["--local", "3", "--mode", "zab"], "--mode zab: must be one of paxos"),
        (["--local", "3", "--durability", "tape"], "--durability tape: must be one of memory, disk"),
        (["--durability", "disk"], "--durability disk: is a setting of the cluster: it goes with --local"),
        (["--seconds", "0"], "--seconds 0: must be above 0: nothing would be measured"),
        (["--operations", "0"], "--operations 0: must be above 0: nothing would be measured"),
        (["--local", "3", "--batch-delay-us", "75"], "--batch-delay-us 75: is for batching fixed alone, and batching is turn"),
        (["--floor"], "--floor: the floors need the same processes"),
        (["--delay-ms", "5"], "--delay-ms 5.0: only a cluster of our own can be put apart"),
        (["--delay-ms", "5", "--local", "3", "--floor"], "--delay-ms 5.0: cannot go with --floor"),
        (["--delay-ms", "5", "--local", "3", "--transport", "websocket"], "--delay-ms 5.0: cannot go with --transport websocket"),
        (["--config", "/nowhere/at/all"], "--config /nowhere/at/all: No such file"),
    ],
)
def test_what_is_wrong_is_named_with_its_value(words: list[str], message: str) -> None:
    with pytest.raises(SettingError) as raised:
        resolve(*words)
    assert str(raised.value).startswith(message)
    assert raised.value.exit_status == 2


def test_a_file_with_an_unknown_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "load.toml"
    file.write_text("treads = 3\n")
    with pytest.raises(SettingError, match=r"treads in .*: names no setting"):
        resolve("--config", str(file))


def test_local_wins_over_a_cluster_in_the_environment() -> None:
    load, _ = resolve("--local", "3", environment={"TRISKELE_CLUSTER": "a:1"})
    assert (load.local, load.cluster) == (3, "")
    assert resolve(environment={"TRISKELE_CLUSTER": "a:1"})[0].cluster == "a:1"


def test_a_check_needs_the_history_recorded() -> None:
    assert [resolve(*words)[0].records for words in ([], ["--check"], ["--history", "h.jsonl"])] == [False, True, True]


def test_ycsb_mixes_begin_with_a_full_store() -> None:
    assert [resolve("--workload", name)[0].preloads for name in ("mix", "ycsb-a")] == [False, True]
    assert resolve("--workload", "ycsb-a", "--preload", "no")[0].preloads is False
