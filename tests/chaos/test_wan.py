"""The experiment of ``wan`` itself, short: its numbers are those of the lines it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.chaos.wan import LOAD, measure, verdict

if TYPE_CHECKING:
    from pathlib import Path

DELAY_SECONDS = 0.02


async def test_causal_commands_stay_near_and_strong_ones_take_one_long_round_trip(tmp_path: Path) -> None:
    with trio.fail_after(60):
        result = await measure(DELAY_SECONDS, [*LOAD, "--seconds", "2", "--warmup-seconds", "1", "--quiet"], tmp_path)
    assert result["failed"] == result["unknown"] == 0
    causal, strong = verdict(result, DELAY_SECONDS)
    assert causal < 0.5, causal
    assert 0.9 < strong < 1.7, strong
