"""SIGHUP's work: a good file is put in force, a bad one is told of and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import define, field

from splicer.config.schema import Config
from splicer.control.reload import Reloader, read_config
from splicer.errors import ConfigError
from splicer.routing.table import RouteTable

GOOD = """
[limits]
body_bytes = "{size}"
[server]
listen = "127.0.0.1:{port}"
[[routes]]
name = "health"
path = "/health"
respond = {{ status = 200, body = "${{BODY}}" }}
"""


@define
class Told:
    """A logger, and whom the configuration is given to."""

    calls: list[tuple[str, str, dict[str, object]]] = field(factory=list)
    applied: list[Config] = field(factory=list)

    def apply(self, config: Config, table: RouteTable) -> None:
        assert table.routes == config.routes
        self.applied.append(config)

    def __getattr__(self, level: str) -> object:
        return lambda event, **fields: self.calls.append((level, event, fields))

    def events(self) -> list[str]:
        return [event for _, event, _ in self.calls]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def reloader(tmp_path: Path, told: Told) -> Reloader:
    path = tmp_path / "routing.toml"
    path.write_text(GOOD.format(size="1KiB", port=8080))
    environ = {"BODY": "fine"}
    return Reloader(path, environ, read_config(path, environ), told, told.apply)  # type: ignore[arg-type]  # see Told


async def test_a_good_file_is_put_in_force(reloader: Reloader, told: Told) -> None:
    before = reloader.config
    reloader.path.write_text(GOOD.format(size="2KiB", port=8080))
    await reloader.reload()
    [applied] = told.applied
    assert applied is reloader.config is not before
    assert applied.limits.body_bytes == 2048
    [(level, event, fields)] = told.calls
    assert (level, event) == ("info", "reload")
    assert "body_bytes" in str(fields["changes"])


async def test_nothing_has_changed(reloader: Reloader, told: Told) -> None:
    await reloader.reload()
    assert told.calls[-1][2]["changes"] == ["nothing"]


async def test_what_needs_a_restart_is_named(reloader: Reloader, told: Told) -> None:
    reloader.path.write_text(GOOD.format(size="1KiB", port=8081))
    await reloader.reload()
    assert ("warning", "reload_needs_restart", {"key": "server.listen"}) in told.calls
    assert len(told.applied) == 1


async def test_a_bad_file_changes_nothing_and_every_fault_is_told(reloader: Reloader, told: Told) -> None:
    before = reloader.config
    reloader.path.write_text(GOOD.format(size="huge", port=8080) + "[[routes]]\nname = 'x'\npth = '/'\n")
    await reloader.reload()
    assert reloader.config is before
    assert told.applied == []
    assert told.events()[:-1] == ["reload_fault"] * (len(told.calls) - 1)
    assert len(told.calls) >= 3
    faults = " ".join(str(fields.get("fault")) for _, _, fields in told.calls)
    assert "body_bytes" in faults
    assert "pth" in faults
    assert (told.calls[-1][0], told.calls[-1][1]) == ("error", "reload_failed")


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"x = " + b"[" * 100_000, None, b"", b"\x00"])
async def test_a_file_that_is_none_changes_nothing(reloader: Reloader, told: Told, raw: bytes | None) -> None:
    if raw is None:
        reloader.path.unlink()
    else:
        reloader.path.write_bytes(raw)
    await reloader.reload()
    assert told.applied == []
    assert told.events()[-1] == "reload_failed"
    assert all(level == "error" for level, _, _ in told.calls)


async def test_after_a_bad_file_a_good_one_is_compared_with_what_is_in_force(reloader: Reloader, told: Told) -> None:
    reloader.path.write_text("nonsense")
    await reloader.reload()
    reloader.path.write_text(GOOD.format(size="1KiB", port=8080))
    await reloader.reload()
    assert told.calls[-1][2]["changes"] == ["nothing"]


@pytest.mark.parametrize("where", ["read_config", "diff", "apply"])
async def test_a_bug_in_a_reload_ends_no_call(
    reloader: Reloader, told: Told, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The worker awaits the reload: an error that nobody expected would take every tunnel down."""

    def crash(*_: object) -> None:
        raise ZeroDivisionError

    before = reloader.config
    if where == "apply":
        reloader.apply = crash
    else:
        monkeypatch.setattr(f"splicer.control.reload.{where}", crash)
    await reloader.reload()
    assert reloader.config is before
    [(level, event, fields)] = told.calls
    assert (level, event) == ("error", "reload_failed")
    assert "ZeroDivisionError" in str(fields)


def test_a_file_that_can_not_be_read_is_one_clear_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            read_config(path, {})
        [fault] = caught.value.faults
        assert fault.startswith(f"{path}: ")
        assert "\n" not in fault
