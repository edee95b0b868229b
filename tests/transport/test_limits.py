"""Limits that contradict each other are refused."""

from __future__ import annotations

import pytest

from transport.errors import LocalMisuse
from transport.limits import Limits


def test_the_defaults_agree() -> None:
    Limits()


def test_a_queue_must_hold_one_frame() -> None:
    with pytest.raises(LocalMisuse, match="out_queue_bytes_max = 1000 cannot hold one frame of frame_bytes_max = 1000"):
        Limits(frame_bytes_max=1000, out_queue_bytes_max=1000)
    Limits(frame_bytes_max=1000, out_queue_bytes_max=1008)
