from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from transport import fault_points
from transport.fault_points import reach

ROOT = Path(__file__).resolve().parents[2]


def reached_in_the_code() -> list[str]:
    """Return the names that calls of ``reach`` have."""
    files = [path for package in ("transport", "replica", "triskele") for path in (ROOT / package).rglob("*.py")]
    calls = [node for path in files for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    calls = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "reach" and call.args]
    return [str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)]


def test_nobody_listens_in_production() -> None:
    """In a process of its own: in this one tests may have listened."""
    program = "import replica.server, transport.fault_points as points; points.reach('turn.begin'); print(points.listener)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "None\n"


def test_what_the_listener_raises_the_place_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def listen(name: str) -> None:
        told.append(name)
        raise ValueError(name)

    monkeypatch.setattr(fault_points, "listener", listen)
    with pytest.raises(ValueError, match=r"turn\.begin"):
        reach("turn.begin")
    assert told == ["turn.begin"]


def test_every_place_in_the_code_has_a_line_in_the_table_and_stands_once() -> None:
    from triskele.testing.points import POINTS

    assert sorted(reached_in_the_code()) == sorted(POINTS)
