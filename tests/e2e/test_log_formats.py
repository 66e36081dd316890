"""What the log is for: headers of requests in it, and the combined format for programs that read nginx's."""

from __future__ import annotations

import re
from pathlib import Path

import trio

from tests.e2e.bare import running_bare
from tests.e2e.operator import observed
from tests.kit.calls import handshake, tunnel
from tests.kit.edge import running
from tests.kit.fleet import echoes, kill_worker_of
from tests.kit.pods import http_pod, tunnel_pod
from tests.kit.site import Site
from tests.kit.wire import ask, dial, until


async def test_headers_are_in_every_line_of_a_call_also_after_its_worker(nursery: trio.Nursery) -> None:
    site = Site()
    place = site.take()
    await tunnel_pod(nursery, place.address, place.port)
    text = observed(site, extra='[log]\nheaders = ["User-Agent", "x-call-id"]\n')
    with running(text, site) as edge:
        path = f"/ws/{place.name}/x"
        async with tunnel(edge, path, 'User-Agent: a "b"', "X-Call-ID: 7", "Authorization: secret") as call:
            await echoes(call)
            lines = [await edge.line("tunnel_open", path=path)]  # a killed worker may leave a line unwritten
            await kill_worker_of(edge, call)
            await echoes(call)
        lines.append(await edge.line("tunnel_close", path=path))
        for line in lines:
            assert (line["header_user_agent"], line["header_x_call_id"]) == ('a "b"', "7")
        await ask(edge.address, "GET", "/nowhere", "User-Agent: scanner")
        line = await edge.line("exchange", path="/nowhere")
        assert line["header_user_agent"] == "scanner"
        assert "header_x_call_id" not in line
        assert not [line for line in edge.lines if "secret" in str(line)]

        changed = edge.path.read_text().replace('["User-Agent", "x-call-id"]', "[]")
        assert (await edge.reload(changed))["event"] == "reload"
        await ask(edge.address, "GET", "/nowhere", "User-Agent: scanner")
        assert "header_user_agent" not in await edge.line("exchange", path="/nowhere")


async def test_exchanges_and_calls_in_the_combined_format(nursery: trio.Nursery, tmp_path: Path) -> None:
    site = Site()
    plain, calls = site.take(), site.take()
    await http_pod(nursery, plain.address, plain.port)
    await tunnel_pod(nursery, calls.address, calls.port)
    path = tmp_path / "routing.toml"
    path.write_text(site.toml(extra='[log]\nformat = "combined"\n'))
    with running_bare("-c", str(path)) as edge:
        address = await edge.address()
        fields = ("User-Agent: curl/8.0", "Referer: https://a.example/", "Authorization: secret")
        assert (await ask(address, "GET", f"/http/{plain.name}/x?y=z", *fields)).status == 200
        async with dial(address) as wire:
            await wire.send(handshake(f"/ws/{calls.name}/x", "User-Agent: phone"))
            await wire.head()
            await echoes(wire)
        async with dial(address) as wire:
            await wire.send(b"nonsense\r\n\r\n")
            await wire.reply()
        await until(lambda: edge.text.count("\n") == 3)
        assert await edge.ends() == 0
    lines = re.sub(r"\[[^]]*\]", "[]", edge.text).splitlines()
    assert sorted(lines) == sorted(
        [
            f'127.0.0.1 - - [] "GET /http/{plain.name}/x HTTP/1.1" 200 {len(plain.address)} '
            '"https://a.example/" "curl/8.0"',
            f'127.0.0.1 - - [] "GET /ws/{calls.name}/x HTTP/1.1" 101 5 "-" "phone"',
            '127.0.0.1 - - [] "-" 400 0 "-" "-"',
        ]
    )
    assert "secret" not in edge.text + edge.errors
    assert (await edge.event("stopped"))["level"] == "info"
    assert "ready" in edge.errors
