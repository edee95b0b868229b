"""The cluster that ``--local`` starts: of which durability, and what it leaves behind."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from loadgen import cli
from loadgen.progress import Progress
from loadgen.settings import add_load_flags, load_settings


@pytest.mark.parametrize("durability", ["memory", "disk"])
async def test_a_cluster_of_its_own_has_the_durability_asked_for_and_its_folder_ends_with_it(durability: str) -> None:
    parser = argparse.ArgumentParser()
    add_load_flags(parser)
    settings, cluster_settings = load_settings(parser.parse_args(["--local", "1", "--durability", durability, "--quiet"]), {})
    async with cli.target(settings, cluster_settings, Progress(1, 0.0, 1, None)) as cluster:
        assert cluster.durability == durability
        folder = Path(cluster.replica(0).data_dir).parent
        assert folder.is_dir()
    assert not folder.exists()
