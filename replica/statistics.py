"""What a replica tells of itself in numbers: a nested snapshot, rendered as Prometheus text; and the process's own figures.

A snapshot is a tree of mappings and attrs objects with numbers at its leaves.  Names are joined on the way down
(``{"links": {"frames_in": 3}}`` is ``triskele_links_frames_in_total 3``), except below a name of ``LABELS``, whose children are values of a
label (``{"syscalls": {"send": 3}}`` is ``triskele_syscalls_total{kind="send"} 3``).  Numbers that only grow are counters; those that may
fall are named in ``GAUGES`` or end as ``GAUGE_ENDINGS`` do.

Format: Prometheus text exposition 0.0.4.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

LABELS: Mapping[str, str] = {
    "syscalls": "kind",
    "reasons": "reason",
    "refusals": "reason",
    "drops": "reason",
    "closed": "reason",
    "statuses": "status",
    "peers": "peer",
    "messages": "message",
}

GAUGES = frozenset(
    {
        "applied",
        "clients",
        "commit",
        "config_id",
        "connections",
        "held_commands",
        "id",
        "keys",
        "leader",
        "links_open",
        "links_up",
        "muted",
        "ready",
        "sessions",
        "view",
        "witness_held",
    }
)

GAUGE_ENDINGS = ("_bytes", "_max", "_min", "_open", "_sessions", "_delay_seconds", "_ratio")


def render_prometheus(snapshot: Mapping[str, object], *, prefix: str = "triskele", labels: Mapping[str, str] | None = None) -> str:
    """Render a snapshot as Prometheus text.

    Args:
        snapshot: Names to numbers, bools, text (a label ``value`` of a 1), None (left out), nested mappings or attrs objects, or sequences
            of counts: log2 histograms, bucket 0 for zeros, bucket i for values in ``[2**(i - 1), 2**i)``, the last for all above.
        prefix: First part of every name.
        labels: Put on every sample.

    Returns:
        Lines ending in a newline; samples of one name stand together, as the format demands.
    """
    families: dict[str, tuple[str, list[str]]] = {}  # {metric name: (type, lines)}
    for name, kind, suffix, sample_labels, value in _samples(snapshot, prefix, dict(labels or {})):
        family = families.setdefault(name, (kind, []))
        family[1].append(f"{name}{suffix}{_label_text(sample_labels)} {_number_text(value)}\n")
    return "".join(f"# TYPE {name} {kind}\n{''.join(lines)}" for name, (kind, lines) in families.items())


_Sample = tuple[str, str, str, dict[str, str], float]  # name, type, suffix, labels, value


def _samples(node: object, name: str, labels: dict[str, str], *, labelled: bool = False) -> Iterator[_Sample]:
    """Walk the tree and yield its samples in order; ``labelled``: the keys above were a label's values, so these are names again."""
    if node is None:
        return
    kind = type(node)
    if attrs.has(kind):
        node = {field.name: getattr(node, field.name) for field in attrs.fields(kind)}
    if isinstance(node, Mapping):
        label = None if labelled else LABELS.get(name.rsplit("_", 1)[-1])
        for key, child in node.items():
            if label is not None:
                yield from _samples(child, name, {**labels, label: str(key)}, labelled=True)
            else:
                yield from _samples(child, f"{name}_{_name_text(str(key))}", labels)
    elif isinstance(node, (bool, str)):
        yield (name, "gauge", "", labels if isinstance(node, bool) else {**labels, "value": node}, int(node is not False))
    elif isinstance(node, (int, float)):
        if is_gauge(name):
            yield (name, "gauge", "", labels, node)
        else:
            yield (f"{name}_total", "counter", "", labels, node)
    elif isinstance(node, (list, tuple)):
        yield from _histogram(name, [int(count) for count in node], labels)
    else:
        message = f"{name} is {type(node).__name__}: no number"
        raise TypeError(message)


def is_gauge(name: str) -> bool:
    """Tell whether the number of this name may fall."""
    return any(name == gauge or name.endswith(f"_{gauge}") for gauge in GAUGES) or name.endswith(GAUGE_ENDINGS)


def _histogram(name: str, counts: list[int], labels: dict[str, str]) -> Iterator[_Sample]:
    """Yield a log2 histogram as cumulative buckets; its sum is not known, so none is told."""
    total = 0
    for bucket, count in enumerate(counts):
        total += count
        bound = "+Inf" if bucket == len(counts) - 1 else str((1 << bucket) - 1)
        yield (name, "histogram", "_bucket", {**labels, "le": bound}, total)
    yield (name, "histogram", "_count", labels, total)


def _name_text(text: str) -> str:
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign == "_") else "_" for sign in text)


def _label_text(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = (value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for value in labels.values())
    return "{" + ",".join(f'{_name_text(key)}="{value}"' for key, value in zip(labels, escaped, strict=True)) + "}"


def _number_text(value: float) -> str:
    if value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(value)


@attrs.frozen
class ProcessStatistics:
    """What the operating system says of this process."""

    cpu_seconds: float
    """User and system time of all threads since the start."""
    rss_bytes: int
    """Resident memory now."""
    rss_peak_bytes: int
    """The most it ever was."""
    descriptors_open: int
    collections: int
    """Runs of the garbage collector, all generations."""


def process_statistics() -> ProcessStatistics:
    """Return this process's figures; what the system does not tell is 0."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    try:
        resident = int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no objects for a thousand descriptors
    except OSError:
        resident, descriptors = peak, 0
    return ProcessStatistics(
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        rss_bytes=resident,
        rss_peak_bytes=max(peak, resident),
        descriptors_open=descriptors,
        collections=sum(generation["collections"] for generation in gc.get_stats()),
    )
