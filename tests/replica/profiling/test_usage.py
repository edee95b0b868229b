from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from replica.profiling import usage as usage_module
from replica.profiling.collector import CollectorStatistics
from replica.profiling.usage import usage
from tests.replica.profiling.recorded import USAGE

if TYPE_CHECKING:
    from pathlib import Path


def test_work_shows_as_processor_time_within_wall_time() -> None:
    before = usage()
    sum(range(500_000))
    used = usage() - before
    assert 0 < used.cpu_seconds <= used.wall_seconds + 0.001
    assert used.user_seconds + used.system_seconds <= used.cpu_seconds + 0.1


def test_a_difference_is_field_by_field_and_keeps_the_later_longest_pause() -> None:
    later = attrs.evolve(
        USAGE, wall_seconds=11.0, blocks=900, waiting_seconds=2.5, collector=CollectorStatistics(5, 0.05, 0.016, 9, (2, 2, 1), (5, *[0] * 19))
    )
    used = later - attrs.evolve(USAGE, collector=CollectorStatistics(2, 0.02, 0.015, 7, (1, 1, 0), (2, *[0] * 19)))
    assert (used.wall_seconds, used.blocks, used.waiting_seconds, used.cpu_seconds) == (1.0, -100, 0.5, 0.0)
    assert (used.collector.collections, used.collector.freed, used.collector.by_generation) == (3, 2, (1, 1, 1))
    assert (used.collector.pause_seconds_max, used.collector.pauses_us[0]) == (0.016, 3)


@pytest.mark.parametrize(("text", "seconds"), [("2000000000 500000000 7\n", 0.5), ("0 0 1\n", None), ("strange\n", None), (None, None)])
def test_waiting_for_a_core_is_told_where_the_kernel_counts_it(
    text: str | None, seconds: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "schedstat"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(usage_module, "SCHEDULER", file)
    assert usage().waiting_seconds == seconds
    assert (usage() - usage()).waiting_seconds == (None if seconds is None else 0.0)
