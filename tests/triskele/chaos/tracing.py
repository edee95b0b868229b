"""Whether this machine lets strace trace: some containers have it and forbid what it does."""

from __future__ import annotations

import subprocess

from triskele.chaos.disks import can_trace


def may_trace() -> bool:
    """Whether strace is there and may trace a process."""
    return can_trace() and subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0
