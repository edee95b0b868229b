"""Every test schedules its Trio tasks by a seed, so that a failure comes back when it is run again.

Trio shuffles runnable tasks to keep programs from leaning on an order. It has a switch for a seeded shuffle, which importing Hypothesis
happens to flip: whether a run is repeatable would then depend on which tests were collected with it. Here the switch is always on, and the
seed of a test is made of its name and ``--schedule-seed``, so that a test's order does not depend on the tests before it either. Another
seed is another set of interleavings: ``pytest --schedule-seed 7``.
"""

from __future__ import annotations

import os
import signal
import zlib
from typing import TYPE_CHECKING

import hypothesis
import pytest
from trio._core import _run as trio_run

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

hypothesis.settings.register_profile("here", deadline=None)  # two busy cores: wall time says nothing about an example
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)


def seed_schedule(seed: int) -> None:
    """Make Trio shuffle its runnable tasks by this seed from now on."""
    assert hasattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING"), "this Trio has no switch for seeded scheduling"
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r.seed(seed)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--schedule-seed", type=int, default=0, help="seed of Trio's task order (default 0)")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")
    seed_schedule(config.getoption("--schedule-seed"))


def pytest_report_header(config: pytest.Config) -> str:
    return f"trio: seeded schedule, --schedule-seed {config.getoption('--schedule-seed')}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    seed_schedule(zlib.crc32(item.nodeid.encode()) ^ item.config.getoption("--schedule-seed"))
    return (yield)


@pytest.fixture
def terminal() -> Iterator[None]:
    """Let SIGHUP do what it does in a terminal, here and in what is started from here, though the tests themselves run under ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
