"""Loading hooks: foreign code that is fine, and all the ways in which it is not."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from pathlib import Path

import pytest

from splicer.configfile.hooks import load_hooks
from splicer.errors import ConfigError
from splicer.hook_settings import HookSettings

_GOOD = """
class Mine:
    def __init__(self, word="a"):
        self.word = word
    async def on_request(self, request):
        return None
"""

_SHARED = """
COUNT = []
class Mine:
    def __init__(self):
        COUNT.append(self)
        self.count = COUNT
    async def on_request(self, request): ...
"""


def hook(path: Path | None, use: str = "mine:Mine", **more: object) -> HookSettings:
    return HookSettings("h", use, None if path is None else str(path), **more)  # type: ignore[arg-type]  # any key


def faults(*wanted: HookSettings) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load_hooks("routing.toml", wanted)
    return [fault.removeprefix("routing.toml: hooks.h.") for fault in refused.value.faults]


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return folder


def test_an_object_is_made_with_the_options(tmp_path: Path) -> None:
    write(tmp_path, _GOOD)
    generation = load_hooks("f", [hook(tmp_path, options=(("word", ("x", "y")),))])
    loaded = generation.hooks["h"]
    assert loaded.instance.word == ["x", "y"]  # type: ignore[attr-defined]  # foreign
    assert (loaded.on_request is not None, loaded.on_call_end, loaded.aclose) == (True, None, None)


def test_nothing_is_put_on_the_path_and_no_bytecode_is_left(tmp_path: Path) -> None:
    before = list(sys.path)
    load_hooks("f", [hook(write(tmp_path, _GOOD))]).forget()
    assert sys.path == before
    assert "mine" not in sys.modules
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.py"]


def test_a_package_imports_its_own_modules_also_later(tmp_path: Path) -> None:
    write(tmp_path, "from .part import WORD\nclass Mine:\n    async def on_request(self, request):\n"
          "        from .late import LATE\n        return WORD + LATE\n", "mine/__init__.py")  # fmt: skip
    write(tmp_path, "WORD = 'a'\n", "mine/part.py")
    write(tmp_path, "LATE = 'b'\n", "mine/late.py")
    generation = load_hooks("f", [hook(tmp_path)])
    decide = generation.hooks["h"].on_request
    assert decide is not None
    with pytest.raises(StopIteration) as returned:
        decide(None).send(None)
    assert returned.value.value == "ab"


def test_a_reload_reads_the_code_anew_while_the_old_code_goes_on(tmp_path: Path) -> None:
    """Also when the file has its old size and its old time."""
    write(tmp_path, _GOOD)
    old = load_hooks("f", [hook(tmp_path)])
    status = (tmp_path / "mine.py").stat()
    write(tmp_path, _GOOD.replace('word="a"', 'word="b"'))
    os.utime(tmp_path / "mine.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    new = load_hooks("f", [hook(tmp_path)])
    assert [each.hooks["h"].instance.word for each in (old, new)] == ["a", "b"]  # type: ignore[attr-defined]


def test_old_code_is_freed(tmp_path: Path) -> None:
    write(tmp_path, _GOOD)
    generation = load_hooks("f", [hook(tmp_path)])
    known = weakref.ref(type(generation.hooks["h"].instance))
    generation.forget()
    del generation
    gc.collect()
    assert known() is None


def test_two_hooks_of_one_module_share_it(tmp_path: Path) -> None:
    write(tmp_path, _SHARED)
    one = hook(tmp_path)
    generation = load_hooks("f", [one, HookSettings("other", one.use, one.path)])
    assert len(generation.hooks["other"].instance.count) == 2  # type: ignore[attr-defined]


def test_an_installed_module() -> None:
    [fault] = faults(hook(None, "json:JSONDecoder"))
    assert fault == "use: JSONDecoder has neither on_request nor on_call_end; see docs/hooks.md"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = ", "use: mine can't be imported: SyntaxError: invalid syntax (mine.py, line 1)"),
        ("import nowhere_at_all", "use: mine can't be imported: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise SystemExit(3)", "use: mine can't be imported: SystemExit: 3"),
        ("raise KeyboardInterrupt", "use: mine can't be imported: KeyboardInterrupt: "),
        ("Mine = 3", "use: mine has no class Mine"),
        ("class Yours: ...", "use: mine has no class Mine"),
        ("class Mine: ...", "use: Mine has neither on_request nor on_call_end; see docs/hooks.md"),
        ("class Mine:\n    def __init__(self): raise ValueError('no\\ntoken')",
         "options: Mine() fails: ValueError: no\\ntoken"),
        ("class Mine:\n    def on_request(self, request): ...",
         "use: Mine.on_request must be a method; write async def on_request(self, ...)"),
        ("class Mine:\n    on_request = 3",
         "use: Mine.on_request must be a method; write async def on_request(self, ...)"),
        ("class Mine:\n    async def on_call_end(self, call): ...",
         "use: Mine.on_call_end must be a method; write def on_call_end(self, ...)"),
        ("class Mine:\n    on_request = property(lambda self: 1 / 0)",
         "use: Mine.on_request fails: ZeroDivisionError: division by zero"),
    ],
)  # fmt: skip
def test_bad_code_is_a_fault(tmp_path: Path, text: str, expected: str) -> None:
    before = set(sys.modules)
    assert faults(hook(write(tmp_path, text))) == [expected]
    assert not [name for name in set(sys.modules) - before if name.startswith("splicer_hooks_")]


def test_bad_options_and_places_are_faults(tmp_path: Path) -> None:
    write(tmp_path, _GOOD)
    assert faults(hook(tmp_path, options=(("wort", 1),))) == [
        "options: Mine(wort) fails: TypeError: Mine.__init__() got an unexpected keyword argument 'wort'"
    ]
    assert faults(hook(tmp_path / "x")) == [f"path: {tmp_path}/x has neither mine.py nor mine/__init__.py"]
    assert faults(hook(None, "nowhere_at_all:C")) == [
        "use: nowhere_at_all can't be imported: ModuleNotFoundError: No module named 'nowhere_at_all'"
    ]


def test_captures_need_a_decision(tmp_path: Path) -> None:
    write(tmp_path, "class Mine:\n    def on_call_end(self, call): ...\n")
    assert faults(hook(tmp_path, captures=("pod",))) == ["captures: Mine has no on_request, which would give them"]


def test_all_faults_at_once(tmp_path: Path) -> None:
    assert len(faults(hook(tmp_path), hook(None, "nowhere_at_all:C"))) == 2
