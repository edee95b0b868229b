from __future__ import annotations

import signal

import pytest

from replica.stop_signals import stop_signals


@pytest.mark.usefixtures("terminal")
def test_a_closed_terminal_stops_what_runs_in_it() -> None:
    assert stop_signals() == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.usefixtures("terminal")
def test_what_is_to_outlive_its_terminal_goes_on_ignoring_the_signal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert stop_signals() == (signal.SIGINT, signal.SIGTERM)
