from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.chaos import checks
from tests.chaos.ledger import Ledger


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what the checks look at while the load is held: a check that looks at nothing finds nothing."""
    counted: Counter[str] = Counter()

    def count(owner: object, name: str) -> None:
        function = getattr(owner, name)

        def counting(*args: Any) -> Any:
            counted[name] += 1
            return function(*args)

        monkeypatch.setattr(owner, name, counting)

    count(Ledger, "judge_register")
    count(Ledger, "judge_counter")
    count(checks, "compare_states")
    return counted
