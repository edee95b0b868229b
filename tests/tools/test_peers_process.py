"""Processes of a comparison: they end with their block, and what goes wrong with them is one line."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tools import peers_process
from tools.peers_process import free_ports, last_line, running, wait_until, worker
from tools.peers_wires import PeerError

if TYPE_CHECKING:
    from pathlib import Path

FOREVER = (sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()")


def test_ports_are_free_and_differ() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_process_ends_with_its_block_however_that_ends(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), running(FOREVER, tmp_path, "peer", stdin=-1) as process:
        assert process.poll() is None
        raise KeyboardInterrupt
    assert process.returncode is not None


def test_a_process_that_ends_too_early_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; print('one\\nport is taken\\n', file=sys.stderr); sys.exit(3)")
    with running(command, tmp_path, "redis-7") as process:
        process.wait()
        with pytest.raises(PeerError, match=r"^redis-7 ended with status 3: port is taken$"):
            wait_until(lambda: False, {"redis-7": process}, tmp_path)


def test_processes_that_are_never_ready_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_process, "START_SECONDS", 0.0)
    with running(FOREVER, tmp_path, "etcd-0", stdin=-1) as process, pytest.raises(PeerError, match="etcd-0 were not ready after 0 s"):
        wait_until(lambda: False, {"etcd-0": process}, tmp_path)


def test_a_log_without_words_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("\n \n")
    assert last_line(tmp_path / "log") == "its log is empty"


def test_a_worker_tells_its_failure(tmp_path: Path) -> None:
    order = {"wire": "resp", "address": f"127.0.0.1:{free_ports(1)[0]}", "streams": 1, "first_stream": 0, "workload": {"key_space": 10}}
    with worker("tools.peers_driver", tmp_path, "driver-0") as told:
        told.tell(**order)
        with pytest.raises(PeerError, match=r"^driver-0: \[Errno 111\] Connection refused$"):
            told.answer(60.0)


def test_a_worker_that_ends_without_an_answer_is_told_with_its_last_words(tmp_path: Path) -> None:
    with worker("tools.peers_driver", tmp_path, "driver-1") as told:
        told.tell(streams="many")
        with pytest.raises(PeerError, match=r"^driver-1 ended, or said nothing for 60 s: KeyError: 'address'$"):
            told.answer(60.0)


def test_a_worker_that_says_nothing_is_ended(tmp_path: Path) -> None:
    with worker("tools.peers_driver", tmp_path, "driver-2") as told, pytest.raises(PeerError, match="said nothing for"):
        told.answer(0.01)
