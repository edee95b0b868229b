"""Clusters in one nursery, for tests: real replicas and clients over a network in memory, in virtual time, with faults by seed.

``async with triskele.testing.cluster(3, seed=1) as c`` and everything that can go wrong is a method of ``c`` or of ``c.fabric``; docs/testing.md
tells how to use it.  What must not live here: anything that a process runs in production.
"""

from __future__ import annotations

from triskele.testing.cluster import Cluster
from triskele.testing.points import fault_points
from triskele.testing.running import cluster
from triskele.testing.schedule import run, seed_schedule
from triskele.testing.tasks import task_names

__all__ = ["Cluster", "cluster", "fault_points", "run", "seed_schedule", "task_names"]
