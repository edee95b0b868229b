"""``python -m tests.scenarios``: tell every story anew, as the code behaves now; read the difference before you commit it."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.transcript import tell

for story in sorted(Path(__file__).parent.glob("*.txt")):
    told = tell(story)
    if told != story.read_text():
        story.write_text(told)
        print(f"{story.name} is told anew")  # noqa: T201 - a command
