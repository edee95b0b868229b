"""A reader of markup that fails where it is not well formed, or would load something."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta"}


class Balance(HTMLParser):
    """Fails where a tag is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(name not in {"src", "href"} for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(text: str) -> list[str]:
    """Return the texts of a page, all of whose tags are closed in order."""
    balance = Balance()
    balance.feed(text)
    balance.close()
    assert balance.open == []
    return balance.text
