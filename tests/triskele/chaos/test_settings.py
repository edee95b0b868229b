from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from replica.config import SettingError
from triskele.chaos import settings as module
from triskele.chaos.nemeses import NEMESES
from triskele.chaos.settings import ChaosSettings, kinds_of, load_of

SETTINGS = ChaosSettings(replicas=3, seconds=12.0, seed=5, output=Path("out"))


def test_the_load_is_ours_where_no_flag_says_otherwise() -> None:
    load, cluster = load_of(attrs.evolve(SETTINGS, load="--rate 50 --durability memory"))
    assert (load.rate, load.clients, load.seed, load.seconds, load.local) == (50.0, 2, 5, 12.0, 3)
    assert load.check
    assert load.history == str(SETTINGS.history) == "out/history.jsonl"
    assert cluster.durability == "memory"


def test_the_environment_does_not_change_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRISKELE_CLUSTER", "127.0.0.1:1")
    monkeypatch.setenv("TRISKELE_SECONDS", "1")
    assert load_of(SETTINGS)[0].seconds == 12.0


def test_what_chaos_says_itself_is_no_flag_of_the_load() -> None:
    with pytest.raises(SettingError, match=r"--load --local: is for triskele chaos"):
        load_of(attrs.evolve(SETTINGS, load="--local 5"))


def test_all_kinds_that_can_be_had_are_drawn_from_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "can_trace", lambda: False)
    kinds, missing = kinds_of(SETTINGS, durable=True)
    assert missing == {"partition-majorities-ring": "needs 5 replicas", **dict.fromkeys(("slow-disk", "disk-error"), "strace is not installed")}
    assert {*kinds, *missing} == set(NEMESES)
    assert kinds_of(attrs.evolve(SETTINGS, replicas=5), durable=False)[1] == dict.fromkeys(
        ("slow-disk", "disk-error", "disk-full"), "nothing is on disk"
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("kil",), r"--nemesis kil: must be one of kill, "),
        (("kill", "partition-majorities-ring"), r"--nemesis partition-majorities-ring: needs 5 replicas"),
    ],
)
def test_a_kind_that_cannot_be_had_is_refused_when_it_is_asked_for_by_name(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        kinds_of(attrs.evolve(SETTINGS, nemeses=names), durable=True)
