"""A real local cluster for each test module that asks for one."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from replica.config import Settings
from triskele.cluster import local_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from triskele.cluster import LocalCluster


@pytest.fixture
async def cluster() -> AsyncIterator[LocalCluster]:
    """Three replicas in processes of their own, serving."""
    async with local_cluster(3, Settings(), say=lambda _line: None) as running:
        yield running


def status_of(cluster: LocalCluster, replica: int) -> dict[str, Any]:
    """Ask a replica's ``/status``."""
    with urllib.request.urlopen(f"{cluster.file.replica(replica).admin}/status", timeout=5) as answer:
        status: dict[str, Any] = json.load(answer)
    return status


def addresses_of(cluster: LocalCluster) -> str:
    """List the native addresses."""
    return ",".join(cluster.file.addresses())
