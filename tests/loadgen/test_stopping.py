"""Work ends by itself, or in order by a signal."""

from __future__ import annotations

import os
import signal

import pytest
import trio

from loadgen.stopping import until_signal


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
