"""Each story beside this file is played, and must be told as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.transcript import parse, tell

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_story(story: Path) -> None:
    assert tell(story) == story.read_text(), "python -m tests.scenarios tells it anew: read what changed"


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_each_story_says_what_it_is_about(story: Path) -> None:
    steps, _ = parse(story.read_text().splitlines())
    assert steps[0].comments[0].startswith("# ")
    assert len(steps) >= 4


def test_there_are_stories() -> None:
    assert len(STORIES) >= 40


def test_a_changed_outcome_is_noticed(tmp_path: Path) -> None:
    story = tmp_path / "story.txt"
    story.write_text("# One write.\n> cluster\n> open s\ns is session 3 at home r0\n> s put x 1\n> settle\ns put x 1: failed, by nobody\n")
    told = tell(story)
    assert "s put x 1: done, fast" in told
    assert told != story.read_text()
    story.write_text(told)
    assert tell(story) == told
