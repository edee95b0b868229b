"""Work ends by itself, or in order by a signal."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest
import trio

from loadgen.stopping import until_signal, unwound


async def double(number: int) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * number


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_work_in_order_and_is_told(number: signal.Signals) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await trio.sleep_forever()
        finally:
            ended.append("in order")

    assert trio.run(until_signal, work) == (None, number)
    assert ended == ["in order"]


def test_without_one_the_work_s_result_comes_back() -> None:
    assert trio.run(until_signal, double, 21) == (42, None)


def test_what_the_work_raises_comes_out_as_it_is() -> None:
    async def work() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        trio.run(until_signal, work)


def test_sigterm_before_or_after_the_work_leaves_no_temporary_files(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, unwound("load"), tempfile.TemporaryDirectory() as folder:
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143
    assert not Path(folder).exists()
    assert capsys.readouterr().err == "triskele: load: stopped by SIGTERM, nothing is reported\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_sigterm_leaves_no_temporary_files_either() -> None:
    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await trio.sleep_forever()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with unwound("load"), tempfile.TemporaryDirectory() as folder:
        assert trio.run(until_signal, work) == (None, signal.SIGTERM)
    assert not Path(folder).exists()
