"""Trust in a disk that is not due, planted like the bugs of ``planted`` and looked for in a *skew*, where disks fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.sim.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]


def failed_disk_goes_on() -> list[Patch]:
    """What a disk refuses is taken for written: the process goes on, and nothing that it acknowledges from then on is there after a restart."""
    write, snapshot = Disk.write, Disk.snapshot

    def refuse(self: Any, *what: str) -> None:
        if self.failing in what:
            self.failing = "for ever"

    def lose(self: Any, batch: int, records: Any) -> None:
        write(self, batch, [] if self.failing == "for ever" else records)

    def lose_snapshot(self: Any, node: Any, checkpoint: Any) -> None:
        if self.failing != "for ever":
            snapshot(self, node, checkpoint)

    return [(Disk, "_refuse", refuse), (Disk, "write", lose), (Disk, "snapshot", lose_snapshot)]


SKEW_BUGS: dict[str, Callable[[], list[Patch]]] = {bug.__name__: bug for bug in (failed_disk_goes_on,)}

SKEW_RECORDED: dict[str, tuple[int, str, str]] = {
    "failed_disk_goes_on": (1, "I-VIEW", "skew"),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in)}``."""
