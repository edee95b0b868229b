"""Every kind of storm is among what is proved."""

from __future__ import annotations

import re
from pathlib import Path

from tests.sim.storms import STORMS

MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"


def test_make_prove_runs_every_kind_of_storm() -> None:
    assert sorted(re.findall(r"-m tests\.sim --planted (\w+) ", MAKEFILE.read_text())) == sorted(STORMS)
