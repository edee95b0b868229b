"""Flame graphs: the calls of a recording as one tree, the time of each with all it calls as its width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replica.profiling.text_formats import collapsed_name
from triskele.profile.areas import area_of

if TYPE_CHECKING:
    from replica.profiling.recording import Recording

SHARE_MIN = 0.0005
"""Narrower frames are left out: nobody sees them, and a page should stay small."""

Node = list[Any]
"""``[name, microseconds, area of most of its own time or "", children]``."""


def flame_tree(recording: Recording, name: str) -> Node:
    """Return the tree of a recording below a root of this name; calls that every stack begins with are left out."""
    root: dict[str, Any] = _node()
    common = _common(recording)
    names = [collapsed_name(frame) for frame in recording.frames]
    for stack in recording.stacks:
        node = root
        node["ns"] += stack.cpu_ns
        inner = stack.frames[common:] if len(stack.frames) > common else stack.frames[-1:]
        for place in inner:
            node = node["below"].setdefault(names[place], _node())
            node["ns"] += stack.cpu_ns
        area = area_of(recording, stack)
        node["areas"][area] = node["areas"].get(area, 0) + stack.cpu_ns
    return _packed(name, root, root["ns"] * SHARE_MIN)


def _node() -> dict[str, Any]:
    return {"ns": 0, "areas": {}, "below": {}}


def _common(recording: Recording) -> int:
    """Return how many outer frames all stacks share, by function; short ones (other threads, sampling) do not count."""
    deep = [stack.frames for stack in recording.stacks if len(stack.frames) > 1]
    if not deep:
        return 0
    names = [collapsed_name(frame) for frame in recording.frames]
    length = 0
    for column in zip(*deep, strict=False):
        if len({names[place] for place in column}) > 1:
            break
        length += 1
    return length


def _packed(name: str, node: dict[str, Any], least_ns: float) -> Node:
    areas = node["areas"]
    children = [_packed(child, below, least_ns) for child, below in sorted(node["below"].items()) if below["ns"] >= least_ns]
    return [name, node["ns"] // 1000, max(areas, key=lambda area: areas[area]) if areas else "", children]
