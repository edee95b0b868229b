"""Rules of the house that a program can hold us to; CONTRIBUTING.md says why each is one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve()
PACKAGES = ("triskele", "replica", "transport", "statemachine", "loadgen")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# One word per concept: docs/glossary.md has the right-hand side, and is the only place that may mention the left.
OTHER_WORDS = {
    "ballot": "view", "ballots": "view", "epoch": "view", "epochs": "view", "term": "view", "terms": "view",
    "weak": "causal", "weakly": "causal", "opno": "number", "opnos": "number",
}  # fmt: skip
INNOCENT = re.compile(
    r"\bin terms of\b|\b(?:long|short)[- ]term\b|weakref\w*|Weak(?:Set|KeyDictionary|ValueDictionary|Method)\b|[\"']TERM[\"']|x-term"
)
# The project speaks about the store; how its texts came about, and on whose machine, belongs in none of them.
FOREIGN = re.compile(
    r"(?<!user-)(?<!user_)\b(?:agents?|subagents?|prompts?|chatbots?|llms?)\b|\.\./(?:shared|\.library)\b|/tmp/\w/|/work/|/root/|/home/\w",
    re.IGNORECASE,
)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|pytest\.(?:mark\.)?(?:skip|xfail|importorskip)(?:if)?\b")
VAGUE_MODULES = {"utils", "util", "common", "helpers", "helper", "misc"}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


SOURCES = python_files(*PACKAGES)
CODE = SOURCES + python_files("tests", "tools", "docs")
TEXTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*", "changelog.d/*", "*.toml", "constraints.txt", "Makefile", ".ci/*", ".gitignore")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix not in {".py", ".pyc"}
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines_matching(path: Path, pattern: re.Pattern[str]) -> list[str]:
    return [f"{name_of(path)}:{number}: {line.strip()}" for number, line in enumerate(path.read_text().splitlines(), 1) if pattern.search(line)]


def other_words(text: str) -> list[str]:
    """Return words the glossary replaces, looking into identifiers: ``current_term`` and ``BallotNumber`` count."""
    return [word for word in WORD.findall(INNOCENT.sub("", text)) if word.lower() in OTHER_WORDS]


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def reexports_only(path: Path) -> bool:
    """Whether a file holds a docstring, imports and ``__all__``, and nothing else; the imports may be lazy (a module ``__getattr__``, PEP 562)."""

    def allowed(node: ast.stmt) -> bool:
        if isinstance(node, ast.Assign):
            return [ast.unparse(target) for target in node.targets] == ["__all__"]
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if isinstance(node, ast.If):
            return ast.unparse(node.test) == "TYPE_CHECKING" and all(map(allowed, node.body))
        if isinstance(node, ast.FunctionDef):
            return node.name == "__getattr__"
        return isinstance(node, ast.Import | ast.ImportFrom)

    return all(allowed(node) for node in ast.parse(path.read_text()).body)


def mirrors(source: Path) -> list[Path]:
    """Return the test modules of a source module: ``tests/<package>/test_<module>[_<aspect>].py``.

    Commands hold no logic of their own: one test module of the command line may stand for all of them.
    """
    folder = source.relative_to(ROOT).parent
    found = [path for path in (ROOT / "tests" / folder).glob(f"test_{source.stem}*.py") if owner(path) == source]
    if folder.parts[:2] == ("triskele", "cli"):
        found += [*(ROOT / "tests" / "triskele").glob("test_cli*.py"), *(ROOT / "tests" / "triskele" / "cli").glob("test_*.py")]
    return found


def owner(test: Path) -> Path | None:
    """Return the source module a test module mirrors: the longest module name that its own begins with; None if there is none."""
    folder = ROOT / test.relative_to(ROOT / "tests").parent
    words = test.stem.removeprefix("test_").split("_")
    for size in range(len(words), 0, -1):
        stem = "_".join(words[:size])
        for candidate in (folder / f"{stem}.py", folder / stem / "__init__.py"):
            if candidate.exists():
                return candidate
    return None


def test_the_lists_are_not_empty() -> None:
    """The rules below look at what exists; they would all hold for an empty house."""
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(PACKAGES)
    assert len(TEXTS) > 10


def test_every_module_has_its_tests() -> None:
    """Modules that define a function are mirrored; declarations are tested by those who use them."""
    modules = [path for path in SOURCES if path.stem not in {"__init__", "__main__"} and functions(path)]
    assert [name_of(path) for path in modules if not mirrors(path)] == []


def test_every_test_module_mirrors_a_module() -> None:
    tests = [path for package in PACKAGES for path in (ROOT / "tests" / package).rglob("test_*.py")]
    cli = [path for path in tests if "cli" in path.relative_to(ROOT / "tests").parts or path.stem.startswith("test_cli")]
    assert [name_of(path) for path in tests if path not in cli and owner(path) is None] == []


def test_tests_have_no_package_files_of_their_own_names() -> None:
    """A ``tests/replica/__init__.py`` would make ``tests`` a place where ``import replica`` may find the tests."""
    assert [name_of(path) for package in PACKAGES for path in (ROOT / "tests" / package).rglob("__init__.py")] == []


@pytest.mark.parametrize("path", [path for path in CODE if path.name == "__init__.py"], ids=name_of)
def test_package_files_only_re_export(path: Path) -> None:
    assert reexports_only(path)


def test_modules_are_short() -> None:
    sizes = {name_of(path): path.read_text().count("\n") for path in CODE}
    assert {name: size for name, size in sizes.items() if size > MODULE_LINES_MAX} == {}


def test_functions_are_short() -> None:
    sizes = {f"{name_of(path)}:{f.lineno} {f.name}": (f.end_lineno or f.lineno) - f.lineno + 1 for path in CODE for f in functions(path)}
    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES_MAX} == {}


def test_one_word_per_concept() -> None:
    files = [path for path in [*CODE, *TEXTS] if path not in {HERE, ROOT / "docs" / "glossary.md"}]
    lines = [(path, number, line) for path in files for number, line in enumerate(path.read_text().splitlines(), 1)]
    assert [f"{name_of(path)}:{number}: {word} (say {OTHER_WORDS[word.lower()]})" for path, number, line in lines for word in other_words(line)] == []


def test_the_glossary_explains_every_word_it_replaces() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text().lower()
    assert {word for word in ("term", "ballot", "epoch", "weak", *OTHER_WORDS.values()) if word not in glossary} == set()


def test_no_module_is_a_drawer() -> None:
    assert [name_of(path) for path in CODE if path.stem in VAGUE_MODULES] == []


def test_no_class_manages_or_handles() -> None:
    classes = [(path, node.name) for path in CODE for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    assert [f"{name_of(path)}: {name}" for path, name in classes if re.search(r"(?:Manager|Handler|Util|Utils|Helper)$", name)] == []


def test_nothing_is_left_unfinished() -> None:
    assert [line for path in [*CODE, *TEXTS] if path != HERE for line in lines_matching(path, UNFINISHED)] == []


def test_the_project_speaks_of_itself_only() -> None:
    """Tests may look for recorded histories that lie beside the project; nothing else names a place outside it."""
    outside_tests = [path for path in [*CODE, *TEXTS] if ROOT / "tests" not in path.parents]
    assert [line for path in outside_tests for line in lines_matching(path, FOREIGN)] == []


def test_the_rules_bite() -> None:
    """Each pattern finds what it is for, and lets its innocent neighbours go."""
    assert other_words("self.current_term = BallotNumber(epoch)") == ["term", "Ballot", "epoch"]
    assert other_words("weak_read(opno)") == ["weak", "opno"]
    assert other_words("in terms of; SIGTERM; terminal; determine; weakref.ref; long-term") == []
    assert UNFINISHED.search("# TODO: later")
    assert all(UNFINISHED.search(f"pytest.{word}(") for word in ("mark.skip", "mark.skipif", "skip", "mark.xfail"))
    assert not UNFINISHED.search("todo_list")
    assert all(FOREIGN.search(text) for text in ("an agent", "../shared/x", "the prompt", "/work/x", "/tmp/w/x"))
    assert not any(FOREIGN.search(text) for text in ("User-Agent: x", "promptly", "reagents", "/tmp/triskele", "/workload"))


def test_the_package_file_rule_bites(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text('"""Docs."""\nfrom __future__ import annotations\nfrom os import path\n__all__ = ["path"]\n')
    bad.write_text('"""Docs."""\nVERSION = 1\n')
    assert reexports_only(good)
    assert not reexports_only(bad)
