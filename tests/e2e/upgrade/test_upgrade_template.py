"""The template of an edge that is upgraded: code that is on disk takes effect by an upgrade, and by nothing else."""

from __future__ import annotations

from tests.e2e.test_template import is_forked
from tests.e2e.upgrade.code import RAISES, Code
from tests.e2e.upgrade.upgrading import at_rest, events, renamed, upgrade
from tests.kit.edge import Edge, session_of
from tests.kit.fleet import kill_worker, only
from tests.kit.wire import ask
from tests.kit.workers import worker_pids


def _template(edge: Edge) -> int:
    [pid] = [pid for pid, title in session_of(edge.pid) if title == "splicer: template"]
    return pid


async def _answers(edge: Edge) -> list[bytes]:
    found = []
    for slot in (1, 2):
        with only(edge, slot):
            found.append((await ask(edge.address, "GET", "/nowhere")).body)
    return found


async def test_an_upgrade_has_a_template_of_its_own(edge: Edge, code: Code) -> None:
    await at_rest(edge)
    before = _template(edge)
    with code.changed(renamed("from the new code")):
        await kill_worker(edge, 1)
        await kill_worker(edge, 2)
        await at_rest(edge)
        assert await _answers(edge) == [b"404 Not Found\n"] * 2, "the template has the old code"
        assert events(await upgrade(edge)) == {"upgrade", "upgraded"}
        await at_rest(edge)
        assert _template(edge) != before
        assert await _answers(edge) == [b"404 from the new code\n"] * 2
        assert all(map(is_forked, worker_pids(edge.pid).values()))
    await kill_worker(edge, 1)
    await at_rest(edge)
    assert await _answers(edge) == [b"404 from the new code\n"] * 2
    assert events(await upgrade(edge)) == {"upgrade", "upgraded"}
    assert await _answers(edge) == [b"404 Not Found\n"] * 2
    assert not edge.find("template_died")


async def test_an_upgrade_that_fails_leaves_the_template(edge: Edge, code: Code) -> None:
    await at_rest(edge)
    before = _template(edge)
    with code.changed({"session/respond.py": ("from __future__ import annotations\n", f"{RAISES}\n")}):
        assert "upgrade_failed" in events(await upgrade(edge))
    assert _template(edge) == before
    await at_rest(edge)


async def test_broken_code_on_disk_has_no_effect_on_workers(edge: Edge, code: Code) -> None:
    """Which an edge without a template could not say."""
    await at_rest(edge)
    with code.changed({"worker/worker.py": ("from __future__ import annotations\n", f"{RAISES}\n")}):
        for slot in (1, 2):
            await kill_worker(edge, slot)
        await at_rest(edge)
    assert await _answers(edge) == [b"404 Not Found\n"] * 2
