from __future__ import annotations

import pytest

from triskele.cli.framework import CommandFailed
from triskele.cli.load import needing_extra


def test_a_missing_package_of_the_extra_is_named_with_the_extra() -> None:
    with pytest.raises(CommandFailed, match=r"^load: needs numpy, which is not installed: pip install 'triskele\[load\]'$"), needing_extra():
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")


def test_another_missing_module_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError), needing_extra():
        raise ModuleNotFoundError("No module named 'loadgen.nothing'", name="loadgen.nothing")
