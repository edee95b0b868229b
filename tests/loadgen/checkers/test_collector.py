from __future__ import annotations

import gc

import pytest

from loadgen.checkers.collector import collector_paused


def test_it_is_off_inside_and_as_before_afterwards() -> None:
    with pytest.raises(ValueError, match="planned"), collector_paused():
        assert not gc.isenabled()
        raise ValueError("planned")
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
