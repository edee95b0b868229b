from __future__ import annotations

import signal
import subprocess
import sys
from subprocess import PIPE

from triskele.child import child_environment

PROGRAM = """
import signal, sys, time
import triskele.attached as attached
attached.GRACE_SECONDS = 0.2
{handling}
attached.stop_at_end_of_input()
print("up", flush=True)
time.sleep(60)
"""


def run_and_end_input(handling: str) -> int:
    with subprocess.Popen([sys.executable, "-c", PROGRAM.format(handling=handling)], stdin=PIPE, stdout=PIPE, env=child_environment()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert process.poll() is None
        process.stdin.write(b"ignored\n")
        process.stdin.close()
        return process.wait(10)


def test_the_end_of_input_asks_the_process_to_end() -> None:
    assert run_and_end_input("") == -signal.SIGTERM


def test_a_process_that_does_not_end_is_ended() -> None:
    assert run_and_end_input("signal.signal(signal.SIGTERM, signal.SIG_IGN)") == 1
