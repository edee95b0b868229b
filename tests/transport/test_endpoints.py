"""A fault about nobody is refused."""

from __future__ import annotations

from typing import Any

import pytest

from transport.endpoints import Endpoints


def endpoints(*names: str, guests: str = "") -> Endpoints:
    made = Endpoints(guests)
    for name in names:
        made.add(name)
    return made


def test_whoever_was_there_is_known_and_guests_always_are() -> None:
    made = endpoints("r0", "r1", guests="client")
    assert made.pair("r1", "r0") == ("r1", "r0")
    assert made.group(["client7", "r0"]) == {"client7", "r0"}


@pytest.mark.parametrize("name", ["r2", "", 0, None])
def test_a_name_that_nobody_has_is_refused_with_those_there_are(name: Any) -> None:
    with pytest.raises(ValueError, match=r"nobody in the fabric has the name .*; names are r0, r1"):
        endpoints("r1", "r0", guests="client").one(name)
    with pytest.raises(ValueError, match="names are none yet"):
        endpoints().one(name)


def test_nobody_is_connected_with_itself() -> None:
    with pytest.raises(ValueError, match="'r0' has no connection with itself"):
        endpoints("r0").pair("r0", "r0")


@pytest.mark.parametrize("names", ["r0", "", [], ()])
def test_a_side_of_a_partition_is_several_names(names: Any) -> None:
    with pytest.raises(ValueError, match="one side of a partition is some names"):
        endpoints("r0").group(names)
