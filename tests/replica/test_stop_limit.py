from __future__ import annotations

import subprocess
import sys

import pytest

from replica.stop_limit import ended_after
from triskele.child import child_environment

STUCK = """
import threading
from replica.stop_limit import ended_after
with ended_after(0.05):
    threading.Event().wait()
"""


def test_what_does_not_come_to_its_end_is_ended_with_a_line_and_status_1() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, env=child_environment(), check=False, timeout=30)
    line = "not stopped within 0.05 s (does the disk answer?): ended here, and nothing acknowledged is lost\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_what_comes_to_its_end_goes_on_and_so_does_an_error_of_it() -> None:
    with pytest.raises(KeyError, match="planted"), ended_after(60.0):
        raise KeyError("planted")
