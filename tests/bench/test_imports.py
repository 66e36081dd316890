"""The bench measures what there is: it imports nothing of the tests, and changes nothing in what it measures."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "bench").rglob("*.py"))


def imported(tree: ast.AST) -> dict[str, str]:
    """The names that a module's imports bind, and what each is."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(one.asname or one.name).partition(".")[0]: one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return found


def root_of(node: ast.AST) -> str:
    """The name that an expression such as a.b[c].d begins with; "" if it begins with none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def faults(text: str) -> list[str]:
    """What a module imports of the tests, and what it changes of other packages' modules."""
    tree = ast.parse(text)
    names = imported(tree)
    wrong = [f"imports {what}" for what in names.values() if what.partition(".")[0] == "tests"]
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = [one for one in node.targets if isinstance(one, ast.Attribute | ast.Subscript)]
        elif isinstance(node, ast.AugAssign | ast.AnnAssign) and isinstance(node.target, ast.Attribute | ast.Subscript):
            targets = [node.target]
        elif isinstance(node, ast.Call) and root_of(node.func) in ("setattr", "delattr", "vars", "exec"):
            targets = node.args[:1] or [node.func]
            if root_of(node.func) == "exec":
                wrong.append("executes text")
        wrong += [f"changes {names[root_of(one)]}" for one in targets if root_of(one) in names]
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_imports_no_test_and_patches_no_module(path: Path) -> None:
    assert path.name not in ("sitecustomize.py", "usercustomize.py")
    assert faults(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("from tests.kit.edge import Edge", "imports tests.kit.edge.Edge"),
        ("import tests.e2e", "imports tests.e2e"),
        ("from splicer.relay import pipes\npipes.Pipe = 1", "changes splicer.relay.pipes"),
        ("import os\nos.splice = 1", "changes os"),
        ("from splicer.relay.hub import Hub\nsetattr(Hub, '_pass', 1)", "changes splicer.relay.hub.Hub"),
        ("from splicer import worker\nvars(worker).update(Hub=1)", "changes splicer.worker"),
        ("import os\nos.environ['A'] = 'b'", "changes os"),
        ("exec('1')", "executes text"),
    ],
)
def test_what_it_must_not_do_is_seen(text: str, fault: str) -> None:
    assert faults(text) == [fault]


def test_what_it_may_do_is_not() -> None:
    assert faults("import os\nx = os.environ\nclass A: ...\na = A()\na.b = 1\nsetattr(a, 'b', 1)\ny = vars(a)") == []
