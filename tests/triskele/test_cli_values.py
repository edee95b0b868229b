"""Values of flags from the environment and from a TOML file, for every command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from replica.config import SettingError, settings_from
from triskele.cli import main
from triskele.cli.arguments import DEFAULT_CLUSTER, add_store_arguments, whole
from triskele.cli.framework import all_keys
from triskele.cli.up import add_arguments as add_up_arguments
from triskele.cli.values import flags_of, nearest, read_arguments, unknown_variables

if TYPE_CHECKING:
    from collections.abc import Mapping


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_store_arguments(made)
    made.add_argument("--limit", type=whole(1, 9), required=True)
    made.add_argument("--loud", action="store_true")
    made.add_argument("--folder", type=Path, dest="place")
    return made


def read(*words: str, environment: Mapping[str, str] | None = None) -> argparse.Namespace:
    return read_arguments(parser(), words, environment or {}, lambda: {"threads"})


def toml(folder: Path, text: str) -> str:
    file = folder / "t.toml"
    file.write_text(text)
    return str(file)


def test_the_command_line_wins_over_the_environment_that_over_the_file_that_over_the_default(tmp_path: Path) -> None:
    file = toml(tmp_path, 'cluster = "h:1"\ntimeout = 2\nlimit = 3\nconsistency = "causal"\n')
    environment = {"TRISKELE_CLUSTER": "h:2", "TRISKELE_TIMEOUT": "4"}
    found = read("--config", file, "--cluster", "h:3", environment=environment)
    assert (found.cluster, found.timeout, found.limit, found.consistency, found.output) == ("h:3", 4.0, 3, "causal", "text")
    assert found.written == {"timeout": "TRISKELE_TIMEOUT", "limit": f"limit in {file}", "consistency": f"consistency in {file}"}
    found = read("--limit", "1")
    assert (found.cluster, found.timeout, found.config, found.written) == (DEFAULT_CLUSTER, 5.0, None, {})


def test_a_variable_may_give_what_must_be_given_a_switch_a_path_and_the_file_itself(tmp_path: Path) -> None:
    file = toml(tmp_path, "limit = 9\n")
    environment = {"TRISKELE_LIMIT": "2", "TRISKELE_LOUD": "yes", "TRISKELE_FOLDER": "f", "TRISKELE_CONFIG": file}
    found = read(environment=environment)
    assert (found.limit, found.loud, found.place, found.config) == (2, True, Path("f"), file)
    assert read("--limit", "1", environment={"TRISKELE_LOUD": "no"}).loud is False
    assert read("--limit", "1", environment={"TRISKELE_CLUSTER": ""}).cluster == DEFAULT_CLUSTER
    with pytest.raises(SystemExit):
        read()


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("TRISKELE_LIMIT", "10", "must be a whole number from 1 to 9"),
        ("TRISKELE_OUTPUT", "xml", "must be one of text, json"),
        ("TRISKELE_LOUD", "maybe", "must be true or false"),
    ],
)
def test_a_wrong_variable_is_named_unless_the_command_line_says_otherwise(variable: str, value: str, why: str) -> None:
    environment = {"TRISKELE_LIMIT": "1", variable: value}
    with pytest.raises(SettingError, match=rf"^{variable} {value}: {why}$"):
        read(environment=environment)
    assert read("--limit", "5", "-o", "json", "--loud", environment=environment).limit == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("limit = 10", "limit in {} 10: must be a whole number from 1 to 9"),
        ("limit = true", "limit in {} True: must be text or a number"),
        ("limit = [1]", "limit in {}: must be text or a number"),
        ("limit = 1\nloud = 1", "loud in {} 1: must be true or false"),
        ("threds = 1", "threds in {} 1: names no setting; did you mean threads?"),
        ("limit 1", "--config {}: is no TOML: "),
        ('cluster = "\\u0000"', "cluster in {}: must be text without zero bytes"),
    ],
)
def test_a_wrong_key_or_value_of_the_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    file = toml(tmp_path, text)
    with pytest.raises(SettingError) as caught:
        read(f"--config={file}")
    assert str(caught.value).startswith(message.format(file))


def test_one_file_serves_a_cluster_and_its_load_and_its_clients(tmp_path: Path) -> None:
    file = toml(tmp_path, 'mode = "ht"\nreplicas = 5\nthreads = 2\ncluster = "h:1"\n')
    made = argparse.ArgumentParser()
    add_up_arguments(made)
    found = read_arguments(made, ["--config", file], {}, all_keys)
    assert (found.replicas, settings_from(found, {}).mode, found.other_keys) == (5, "ht", {"replicas", "threads", "cluster"})


def test_variables_that_nobody_knows_are_told_in_one_line_and_orchestrators_may_have_theirs() -> None:
    own, every = {"limit"}, lambda: {"limit", "mode"}
    assert unknown_variables({"TRISKELE_LIMIT": "1", "TRISKELE_MODE": "ht", "TRISKELE_CONFIG": "f", "HOME": "h"}, own, every) == ""
    assert unknown_variables({"TRISKELE_MODDE": "x"}, own, every) == "TRISKELE_MODDE in the environment names no setting; did you mean TRISKELE_MODE?"
    several = {"TRISKELE_SERVICE_HOST": "10.0.0.1", "TRISKELE_SERVICE_PORT": "1"}
    assert unknown_variables(several, own, every) == "TRISKELE_SERVICE_HOST, TRISKELE_SERVICE_PORT in the environment name no settings"


def test_what_picks_an_action_and_a_folder_to_write_to_are_for_the_command_line_alone() -> None:
    keys = all_keys()
    assert {"replicas", "port", "ready_file", "for", "no_restart", "timeout", "output", "threads", "mode", "cluster", "time_limit"} <= keys
    assert not {"help", "config", "version", "expected", "compare", "property"} & keys
    made = argparse.ArgumentParser()
    made.add_argument("--output", type=Path)
    assert flags_of(made) == {}


def test_every_command_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRISKELE_MODDE", "ht")
    monkeypatch.setenv("TRISKELE_REPLICAS", "4")
    assert main(["up", "--port", "0"]) == 2
    told = "triskele: TRISKELE_MODDE in the environment names no setting; did you mean TRISKELE_MODE?\n"
    assert capsys.readouterr().err == told + "triskele: TRISKELE_REPLICAS 4: must be one of 1, 3, 5, 7, 9\n"
    monkeypatch.setenv("TRISKELE_CLUSTER", "nowhere")
    assert main(["status"]) == 2
    assert capsys.readouterr().err == told + "triskele: TRISKELE_CLUSTER nowhere: no such file (and no address list: ADDRESS,ADDRESS,…)\n"


def test_the_nearest_word_is_asked_for_if_it_is_near() -> None:
    assert (nearest("modde", {"mode", "port"}), nearest("xyz", {"mode"})) == ("; did you mean mode?", "")
