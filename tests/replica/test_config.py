from __future__ import annotations

import argparse
import ast
from pathlib import Path

import attrs
import pytest

from replica.config import SETTINGS, SettingError, Settings, add_settings_flags, resolve, settings_from
from replica.core.leader import ENTRY_BYTES_MAX
from replica.driver import CLIENT_FRAME_BYTES_MAX, REPLY_BYTES_MAX
from statemachine.sessions import RESULTS_MAX
from transport.frame import HEADER_BYTES
from transport.limits import Limits

ROOT = Path(__file__).parents[2]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_settings_flags(made)
    return made


def toml(folder: Path, text: str) -> Path:
    file = folder / "settings.toml"
    file.write_text(text)
    return file


def test_without_any_source_every_setting_has_its_default() -> None:
    settings = resolve({}, {})
    assert {name: setting.default for name, setting in SETTINGS.items()} == {name: getattr(settings, name) for name in SETTINGS}
    assert {settings.origin(name) for name in SETTINGS} == {"default"}


def test_a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default(tmp_path: Path) -> None:
    file = toml(tmp_path, 'mode = "paxos"\nbatching = "fixed"\nbatch_delay_us = 1\n')
    settings = resolve({"mode": "ht"}, {"TRISKELE_MODE": "curp", "TRISKELE_BATCHING": "turn"}, file)
    assert (settings.mode, settings.batching, settings.batch_delay_us, settings.forward_seconds) == ("ht", "turn", 1, 0.3)
    origins = [settings.origin(name) for name in ("mode", "batching", "batch_delay_us", "forward_seconds")]
    assert ["--mode", "TRISKELE_BATCHING", str(file), "default"] == origins


def test_every_setting_has_a_flag_that_reads_back_its_default() -> None:
    flags = []
    for setting in SETTINGS.values():
        flags += (
            [setting.flag] if setting.default is True else ["--no-insecure"] if setting.default is False else [f"{setting.flag}={setting.default}"]
        )
    assert Settings() == settings_from(parser().parse_args(flags), {})


def test_every_setting_tells_its_unit_help_and_limits() -> None:
    for setting in SETTINGS.values():
        assert setting.help, setting.name
        if isinstance(setting.default, (int, float)) and not isinstance(setting.default, bool):
            assert setting.name.endswith(("_us", "_seconds", "_max")), setting.name
            assert setting.minimum <= setting.default <= setting.maximum < float("inf")


def read_somewhere() -> set[str]:
    """Names read as ``settings.NAME`` where these settings are meant, outside the module that defines them."""
    found: set[str] = set()
    for file in (path for top in ("replica", "triskele", "loadgen") for path in (ROOT / top).rglob("*.py") if path.name != "config.py"):
        tree = ast.parse(file.read_text())
        if any(isinstance(node, ast.ImportFrom) and node.module == "replica.config" for node in ast.walk(tree)):
            attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
            found |= {node.attr for node in attributes if ast.unparse(node.value).endswith("settings")}
    return found


def test_every_setting_is_read_by_the_program() -> None:
    read, told_as = read_somewhere(), {"heartbeat_seconds": "heartbeat"}
    assert [name for name in SETTINGS if told_as.get(name, name) not in read] == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"mode": "hoo"}, "--mode hoo: must be one of paxos, curp, ht, ho"),
        ({"mode": ""}, "--mode: must be one of paxos, curp, ht, ho"),
        ({"batching": "always"}, "--batching always: must be one of turn, fixed, adaptive"),
        ({"durability": "paper"}, "--durability paper: must be one of memory, disk"),
        ({"batch_delay_us": "75"}, "--batch-delay-us 75: is for batching fixed alone, and batching is turn"),
        ({"batching": "adaptive", "batch_delay_us": "75"}, "--batch-delay-us 75: is for batching fixed alone, and batching is adaptive"),
        ({"batch_delay_us": "soon"}, "--batch-delay-us soon: must be a whole number from 0 to 100000"),
        ({"batch_delay_us": "-1"}, "--batch-delay-us -1: must be a whole number from 0 to 100000"),
        ({"batch_delay_us": "1.5"}, "--batch-delay-us 1.5: must be a whole number from 0 to 100000"),
        ({"forward_seconds": "nan"}, "--forward-seconds nan: must be a number from 0.001 to 60"),
        ({"heartbeat_seconds": "0"}, "--heartbeat-seconds 0.0: must be a number from 0.001 to 60"),
        ({"listen": "7400"}, "--listen 7400: must be HOST:PORT"),
        ({"admin": "::1:7400"}, "--admin ::1:7400: an IPv6 host stands in brackets: [::1]:7400"),
        ({"websocket": "localhost:70000"}, "--websocket localhost:70000: must be HOST:PORT with a port from 0 to 65535"),
        ({"listen": "fd:x"}, "--listen fd:x: must be fd:N with N an open file descriptor"),
        (
            {"out_queue_bytes_max": "16777216"},
            "--out-queue-bytes-max 16777216: must be more than frame_bytes_max (16777216), or that frame never fits",
        ),
    ],
)
def test_a_wrong_flag_is_named_with_its_value_and_what_is_allowed(flags: dict[str, str], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        resolve(flags, {})
    assert message == str(caught.value)


def test_a_wrong_variable_is_named_as_the_variable() -> None:
    with pytest.raises(SettingError, match=r"^TRISKELE_INSECURE perhaps: must be true or false$"):
        resolve({}, {"TRISKELE_INSECURE": "perhaps"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('mod = "ho"', "mod in FILE ho: names no setting; did you mean mode?"),
        ("[mode]\nx = 1", "mode in FILE {'x': 1}: must be one of paxos, curp, ht, ho"),
        ('batch_delay_us = "75"', "batch_delay_us in FILE 75: must be a whole number from 0 to 100000"),
        ("batch_delay_us = true", "batch_delay_us in FILE True: must be a whole number from 0 to 100000"),
        ("insecure = 1", "insecure in FILE 1: must be true or false"),
        ('durability = "paper"', "durability in FILE paper: must be one of memory, disk"),
        ("mode = ", "--config FILE: is no TOML: "),
    ],
)
def test_a_wrong_file_is_named_with_key_and_value(tmp_path: Path, text: str, message: str) -> None:
    file = toml(tmp_path, text)
    with pytest.raises(SettingError) as caught:
        resolve({}, {}, file)
    assert str(caught.value).replace(str(file), "FILE").startswith(message)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^--config .*/none\.toml: No such file or directory$"):
        resolve({}, {}, tmp_path / "none.toml")


def test_a_whole_number_is_a_number_in_toml(tmp_path: Path) -> None:
    seconds = resolve({}, {}, toml(tmp_path, "forward_seconds = 5")).forward_seconds
    assert (5.0, float) == (seconds, type(seconds))


def test_an_empty_variable_says_nothing() -> None:
    settings = resolve({}, {"TRISKELE_MODE": "", "TRISKELE_INSECURE": ""})
    assert (settings, settings.origin("mode")) == (Settings(), "default")


def test_variables_of_other_programs_are_left_alone() -> None:
    assert Settings() == resolve({}, {"TRISKELE_SERVICE_HOST": "10.0.0.1"})


def test_heartbeats_go_with_elections_unless_they_are_set() -> None:
    assert Settings().heartbeat == 0.2
    assert resolve({"election_seconds": "0.5"}, {}).heartbeat == 0.1
    assert resolve({"election_seconds": "5"}, {}).heartbeat == 0.2
    assert resolve({"election_seconds": "0.7", "heartbeat_seconds": "0.2"}, {}).heartbeat == 0.2
    assert Settings(heartbeat_seconds=0.3).heartbeat == 0.3


def test_a_child_process_gets_the_same_settings_as_flags() -> None:
    settings = resolve({"mode": "curp", "insecure": True, "listen": "0.0.0.0:1"}, {"TRISKELE_FORWARD_SECONDS": "4"})
    flags = settings.as_flags()
    assert flags == ["--mode", "curp", "--insecure", "--forward-seconds", "4.0"]
    assert attrs.evolve(settings, listen="") == settings_from(parser().parse_args(flags), {"TRISKELE_MODE": "ho"})


def test_a_switch_can_be_taken_back_by_a_flag() -> None:
    assert not settings_from(parser().parse_args(["--no-insecure"]), {"TRISKELE_INSECURE": "yes"}).insecure


def test_settings_cannot_be_made_wrong() -> None:
    with pytest.raises(SettingError, match=r"^--sessions-max 0: must be a whole number from 1 "):
        Settings(sessions_max=0)


def test_the_smallest_frame_takes_what_replicas_put_into_one() -> None:
    """An entry may hold what was drafted and a whole frame of a client; answers are split where they reach ``REPLY_BYTES_MAX``."""
    smallest = SETTINGS["frame_bytes_max"].minimum
    assert smallest >= ENTRY_BYTES_MAX + CLIENT_FRAME_BYTES_MAX
    assert smallest >= REPLY_BYTES_MAX


def test_no_session_may_have_more_on_its_way_than_has_its_outcomes_kept() -> None:
    assert Settings(commands_in_flight_max=RESULTS_MAX).commands_in_flight_max == RESULTS_MAX
    with pytest.raises(SettingError, match=r"^--commands-in-flight-max 65537: must be a whole number from 1 to 65536"):
        Settings(commands_in_flight_max=RESULTS_MAX + 1)


def test_a_queue_that_settings_allow_is_one_that_links_take() -> None:
    frame_bytes_max = 16 << 20
    with pytest.raises(SettingError, match="must be more than frame_bytes_max"):
        Settings(frame_bytes_max=frame_bytes_max, out_queue_bytes_max=frame_bytes_max)
    settings = Settings(frame_bytes_max=frame_bytes_max, out_queue_bytes_max=frame_bytes_max + HEADER_BYTES)
    Limits(frame_bytes_max=settings.frame_bytes_max, out_queue_bytes_max=settings.out_queue_bytes_max)


def test_help_shows_every_flag_with_its_default() -> None:
    text = parser().format_help()
    for setting in SETTINGS.values():
        assert setting.flag in text
    assert "(default 150)" in text
