from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

import pytest

from triskele.cli import main
from triskele.client import Store

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(real_cluster: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command against three real replicas: exit status, standard output, standard error."""

    def run_command(*words: str) -> tuple[int, str, str]:
        status = main([*words, "--cluster", real_cluster])
        out, err = capsys.readouterr()
        return status, out, err

    return run_command


def test_what_is_put_can_be_got_and_deleted(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("put", "greeting", "hello") == (0, "", "")
    assert run("get", "greeting") == (0, "hello\n", "")
    assert run("get", "greeting", "--raw") == (0, "hello", "")
    assert run("delete", "greeting") == (0, "", "")
    assert run("get", "greeting") == (1, "", "")
    assert run("get", "greeting", "-o", "json") == (1, "", "")


def test_keys_and_values_may_be_any_bytes(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("put", "hex:00ff", "hex:fe", "-o", "json") == (0, '{"key": {"hex": "00ff"}, "done": true}\n', "")
    status, out, _ = run("get", "hex:00ff", "-o", "json")
    told = json.loads(out)
    assert (status, told["key"], told["value"]) == (0, {"hex": "00ff"}, {"hex": "fe"})
    assert told["version"] > 0


def test_causal_commands_are_committed_when_the_command_ends(run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    flushed, flush = [], Store.flush

    async def noted(store: Store, *, timeout: float | None = None) -> None:
        await flush(store, timeout=timeout)
        flushed.append(store)

    monkeypatch.setattr(Store, "flush", noted)
    assert run("put", "causal", "1", "--consistency", "causal") == (0, "", "")
    assert len(flushed) == 1
    assert run("get", "causal") == (0, "1\n", "")
    assert run("get", "causal", "--consistency", "causal")[0] in {0, 1}  # a new session may ask a replica that has not applied it yet
    assert run("delete", "causal", "--consistency", "causal", "-o", "json") == (0, '{"key": "causal", "done": true}\n', "")
    assert run("get", "causal") == (1, "", "")
    assert len(flushed) == 2


def test_cas_swaps_only_what_is_expected(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("cas", "lock", "a", "--absent") == (0, "swapped\n", "")
    assert run("cas", "lock", "b", "--absent") == (1, "not swapped: the key has another value\n", "")
    assert run("cas", "lock", "b", "--expected", "a", "-o", "json") == (0, '{"key": "lock", "swapped": true}\n', "")
    version = json.loads(run("get", "lock", "-o", "json")[1])["version"]
    assert run("cas", "lock", "c", "--version", str(version - 1))[0] == 1
    assert run("cas", "lock", "c", "--version", str(version))[0] == 0
    assert run("get", "lock") == (0, "c\n", "")


def test_scan_prints_a_range_in_order(run: Callable[..., tuple[int, str, str]]) -> None:
    for key in ("scan/b", "scan/a", "scan/c"):
        assert run("put", key, key[-1])[0] == 0
    assert run("scan", "scan/", "scan0") == (0, "scan/a\ta\nscan/b\tb\nscan/c\tc\n", "")
    assert run("scan", "scan/", "scan0", "--limit", "2") == (0, "scan/a\ta\nscan/b\tb\n", "")
    assert run("scan", "scan/", "scan/c", "--limit", "1", "--consistency", "causal")[0] == 0
    assert json.loads(run("scan", "scan/b", "scan0", "-o", "json")[1]) == [{"key": "scan/b", "value": "b"}, {"key": "scan/c", "value": "c"}]


def test_a_key_over_its_limit_is_refused_by_name(run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = run("put", "k" * 5000, "v")
    assert (status, out) == (1, "")
    assert err.startswith("triskele: put kkk")
    assert "refused: " in err
    assert "4096" in err
    assert err.count("\n") == 1


def test_a_cluster_out_of_reach_is_one_line_within_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        begin = time.monotonic()
        assert main(["put", "k", "v", "--cluster", address, "--timeout", "0.3"]) == 1
    assert time.monotonic() - begin < 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("triskele: put k: unavailable: ")
    assert address in err
    assert err.count("\n") == 1


def test_a_port_that_never_answers_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert main(["get", "k", "--cluster", f"127.0.0.1:{mute.getsockname()[1]}", "--timeout", "0.3"]) == 1
    assert capsys.readouterr().err.startswith("triskele: get k: unavailable: ")


def test_admin_addresses_are_not_for_clients(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "k", "--cluster", "http://127.0.0.1:7600"]) == 2
    assert capsys.readouterr().err == "triskele: --cluster http://127.0.0.1:7600: has no address for clients\n"
