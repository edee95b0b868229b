from __future__ import annotations

import os
import signal

import pytest
import trio

from replica.stop_signals import open_stop_signals


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_each_of_them_is_told(number: signal.Signals) -> None:
    with trio.fail_after(10), open_stop_signals() as signals:
        os.kill(os.getpid(), number)
        assert await anext(signals) == number


@pytest.mark.usefixtures("terminal")
async def test_a_terminal_that_closes_twice_ends_nobody_who_puts_things_in_order() -> None:
    with trio.fail_after(10), open_stop_signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        assert await anext(signals) == signal.SIGHUP
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.usefixtures("terminal")
async def test_what_is_to_outlive_its_terminal_goes_on_ignoring_the_signal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with trio.fail_after(10), open_stop_signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await anext(signals) == signal.SIGTERM
