"""`splicer run --last-good FILE`: a start that finds a broken configuration goes on with the last good one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import trio

from tests.e2e.test_command_line import splicer
from tests.kit.calls import tunnel
from tests.kit.edge import Edge, running
from tests.kit.fleet import echoes, several
from tests.kit.pods import patient_echo, tunnel_pod
from tests.kit.site import Site
from tests.kit.vaults import vault_at
from tests.kit.wire import ask, until

_BROKEN = "[[routes]\n"


def _text(site: Site, body: str) -> str:
    route = f'[[routes]]\nname = "which"\npath = "/which"\nrespond = {{ status = 200, body = "{body}" }}\n'
    return f"{several(site)}\n{route}"


async def _which(edge: Edge) -> bytes:
    return (await ask(edge.address, "GET", "/which")).body


async def test_calls_go_on_though_the_file_is_broken_at_the_restart(tmp_path: Path, nursery: trio.Nursery) -> None:
    site, kept = Site(pods=2), tmp_path / "kept"
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port, patient_echo)
    with vault_at(tmp_path / "vault") as vault:
        options = ("--vault", str(vault.path), "--last-good", str(kept), "--watch")
        with running(_text(site, "first"), site, options=options) as edge:
            assert (await edge.reload(_text(site, "second")))["event"] == "reload"
            assert (await edge.reload(_BROKEN))["event"] == "reload_failed"
            async with tunnel(edge, f"/ws/{place.name}/x") as call:
                await until(lambda: vault.tunnels() == 1)
                edge.kill()
                opening = running(_BROKEN, site, options=options)
                other = await trio.to_thread.run_sync(opening.__enter__)
                try:
                    await echoes(call)
                    assert await _which(other) == b"second"
                    assert str(kept) in (await other.line("reload_failed"))["kept"]
                    assert (await other.line("reload_fault"))["level"] == "error"
                    other.write(_text(site, "third"))  # as a ConfigMap that is mended
                    await other.line("reload")
                    assert await _which(other) == b"third"
                    assert kept.read_text() == _text(site, "third")
                    await call.close()
                finally:
                    await trio.to_thread.run_sync(opening.__exit__, None, None, None)


async def test_a_first_start_with_a_broken_file_ends(tmp_path: Path) -> None:
    config, kept = tmp_path / "routing.toml", tmp_path / "kept"
    config.write_text(_BROKEN)
    result = await splicer("run", "-c", str(config), "--last-good", str(kept))
    assert result.code == 1
    assert result.err.startswith(f"splicer: {config}: ")
    assert not kept.exists()


async def test_a_kept_one_that_is_broken_too_ends_it(tmp_path: Path) -> None:
    config, kept = tmp_path / "routing.toml", tmp_path / "kept"
    config.write_text(_BROKEN)
    kept.write_text("")
    result = await splicer("run", "-c", str(config), "--last-good", str(kept))
    assert result.code == 1
    assert result.err.startswith(f"splicer: {kept}: ")


async def test_the_configuration_is_never_overwritten(tmp_path: Path) -> None:
    config = tmp_path / "routing.toml"
    config.write_text(_BROKEN)
    result = await splicer("run", "-c", str(config), "--last-good", str(config))
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert "--last-good" in result.err
    assert config.read_text() == _BROKEN


@pytest.mark.slow
async def test_an_upgrade_goes_on_keeping_it() -> None:
    site = Site(pods=1)
    with tempfile.TemporaryDirectory() as directory:
        kept = Path(directory) / "kept"
        with running(_text(site, "first"), site, options=("--last-good", str(kept))) as edge:
            edge.write(_text(site, "second"))
            result = await splicer("upgrade", "-c", str(edge.path))
            assert result.code == 0
            await edge.line("upgraded")
            assert kept.read_text() == _text(site, "second")
            await edge.reload(_text(site, "third"))
            assert kept.read_text() == _text(site, "third")
