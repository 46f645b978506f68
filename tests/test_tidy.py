"""Style that a formatter cannot see: size of functions and files, and drawn state machines."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_FUNCTION_LINES = 59
MAX_FILE_LINES = 500
UNFINISHED = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
MACHINE_FOLDERS = ("node/sync", "node/validator")


def _files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(found)


FILES = [*_files("cli", "node", "protocols", "tests"), ROOT / "make.py"]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_is_small_and_finished(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    assert [word for word in UNFINISHED if word in text] == []
    assert list(_long_functions(ast.parse(text))) == []


@pytest.mark.parametrize("path", _files(*MACHINE_FOLDERS), ids=_name)
def test_a_machine_draws_its_states(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if _is_machine(path, tree):
        assert _draws_an_arrow(ast.get_docstring(tree) or "")


def test_a_long_function_is_seen() -> None:
    body = "    pass\n" * MAX_FUNCTION_LINES
    assert list(_long_functions(ast.parse(f"def f():\n{body}"))) == ["f: 60 lines"]
    assert list(_long_functions(ast.parse(f"def f():\n{body[:-9]}"))) == []


def test_a_machine_is_seen() -> None:
    machine = ast.parse("class A:\n    def handle(self, event, now): ...")
    assert _is_machine(Path("any.py"), machine)
    assert _is_machine(Path("vote_machine.py"), ast.parse(""))
    assert not _is_machine(Path("any.py"), ast.parse("def handle(): ..."))


def test_a_drawing_is_an_arrow_between_words() -> None:
    assert _draws_an_arrow("Life:\n\n    WAITING --peer free--> IN_FLIGHT")
    assert not _draws_an_arrow("Decides.\n\nWhat a function -> returns is no drawing.")


def _long_functions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield f"{node.name}: {lines} lines"


def _is_machine(path: Path, tree: ast.Module) -> bool:
    methods = [
        member.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for member in node.body
        if isinstance(member, ast.FunctionDef)
    ]
    return path.stem.endswith("_machine") or "handle" in methods


def _draws_an_arrow(docstring: str) -> bool:
    """A diagram is indented and holds an arrow: `WAITING --peer free--> IN_FLIGHT`."""
    return any(
        line.startswith("    ") and any(arrow in line for arrow in ("->", "<-", "|", "v  "))
        for line in docstring.splitlines()
    )
