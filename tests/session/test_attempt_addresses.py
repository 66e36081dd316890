"""Attempts: which endpoints and addresses are tried, and what the record says of them."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from splicer.errors import ConnectFailed, ConnectRefused, NameNotFound, NoDescriptor, SplicerError
from tests.session.edge import APP, SPARE, Edge, answering, fallback_route, playing
from tests.session.message import GET, OK, read_answer
from tests.session.pods import resetting
from tests.session.wire import Peer


async def test_the_fallback_leaves_out_what_has_just_failed(edge: Edge) -> None:
    edge.use(fallback_route())
    edge.names.served["spare.test"] = (APP, SPARE)
    edge.pods |= {APP: resetting, SPARE: answering(OK)}
    for _ in range(4):  # whosever turn it is
        assert (await read_answer(await edge.ask(GET))).status == 200
        edge.context.pool.close()
    assert edge.dialled == [APP, SPARE] * 4


async def test_nobody_is_left(edge: Edge) -> None:
    edge.use(fallback_route())
    edge.names.served["spare.test"] = (APP,)
    edge.pods[APP] = ConnectRefused("no")
    told = await read_answer(await edge.ask(GET))
    assert (told.status, told.get("Retry-After") is not None) == (503, True)
    assert [attempt.failure for attempt in edge.record.attempts] == ["connect_refused", "no_endpoint"]


async def test_who_never_had_an_endpoint_names_none(edge: Edge) -> None:
    edge.use(fallback_route())
    edge.names.served["spare.test"] = NameNotFound("gone")
    edge.pods[APP] = ConnectRefused("no")
    assert (await read_answer(await edge.ask(GET))).status == 503
    assert [attempt.endpoint for attempt in edge.record.attempts] == [f"{APP}:8000", None]


async def test_an_endpoint_that_has_failed_is_not_held(edge: Edge) -> None:
    edge.use(fallback_route())
    edge.names.served["spare.test"] = None
    edge.pods[APP] = ConnectRefused("no")
    await edge.ask(GET)
    await wait_all_tasks_blocked()
    assert edge.names.asked == ["app.test", "spare.test"]
    assert len(edge.context.balancer.loads) == 0


async def test_several_addresses_of_a_name_are_one_attempt(edge: Edge) -> None:
    edge.names.served["app.test"] = ("10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4")
    edge.pods |= {"10.0.1.1": ConnectRefused("no"), "10.0.1.2": ConnectFailed("no"), "10.0.1.3": answering(OK)}
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert edge.dialled == ["10.0.1.1", "10.0.1.2", "10.0.1.3"]
    assert [attempt.endpoint for attempt in edge.record.attempts] == ["10.0.1.3:8000"]


async def test_all_addresses_of_a_name_are_tried_before_another_name_is(edge: Edge) -> None:
    edge.use(fallback_route())
    edge.names.served["app.test"] = served = tuple(f"10.0.1.{last}" for last in range(1, 9))
    edge.pods |= {address: ConnectRefused("no") for address in served}
    edge.pods[SPARE] = answering(OK)
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert (sorted(edge.dialled[:-1]), edge.dialled[-1]) == (list(served), SPARE)
    assert [attempt.failure for attempt in edge.record.attempts] == ["connect_refused", None]


@pytest.mark.parametrize("addresses", [2, 3, 8])
async def test_an_address_that_hangs_leaves_time_for_the_next(edge: Edge, addresses: int) -> None:
    edge.names.served["app.test"] = served = tuple(f"10.0.1.{last}" for last in range(1, addresses + 1))
    edge.pods |= {address: None if address == "10.0.1.1" else answering(OK) for address in served}
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert (edge.dialled[0], len(edge.dialled)) == ("10.0.1.1", 2)
    assert trio.current_time() == pytest.approx(0.25)
    assert [attempt.endpoint for attempt in edge.record.attempts] == [f"{edge.dialled[1]}:8000"]


async def test_addresses_that_all_hang_are_one_deadline(edge: Edge) -> None:
    edge.names.served["app.test"] = served = tuple(f"10.0.1.{last}" for last in range(1, 9))
    edge.pods |= dict.fromkeys(served)
    assert (await read_answer(await edge.ask(GET))).status == 504
    assert trio.current_time() == pytest.approx(3)
    assert len(edge.dialled) > 2
    assert [attempt.failure for attempt in edge.record.attempts] == ["connect_deadline"]


async def test_a_connect_that_hangs_names_the_address_that_hangs(edge: Edge) -> None:
    edge.names.served["app.test"] = ("10.0.1.1", "10.0.1.2")
    edge.pods |= {"10.0.1.1": ConnectRefused("no"), "10.0.1.2": None}
    assert (await read_answer(await edge.ask(GET))).status == 504
    assert "10.0.1.2:8000" in (edge.record.detail or "")
    assert edge.record.attempts[0].endpoint == "10.0.1.2:8000"


@pytest.mark.parametrize("failing", [ConnectRefused("no"), ConnectFailed("no"), None])
async def test_a_cached_address_that_fails_is_asked_for_again(edge: Edge, failing: SplicerError | None) -> None:
    edge.use(fallback_route())
    edge.names.cache["app.test"] = ("10.0.9.9",)
    edge.pods |= {"10.0.9.9": failing, APP: answering(OK)}
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert edge.dialled == ["10.0.9.9", APP]
    assert [(attempt.upstream, attempt.failure) for attempt in edge.record.attempts] == [("app", None)]


@pytest.mark.parametrize("served", [("10.0.9.9",), NameNotFound("gone"), None])
async def test_asking_again_in_vain_leads_to_the_fallback(
    edge: Edge, served: tuple[str, ...] | SplicerError | None
) -> None:
    edge.use(fallback_route())
    edge.names.cache["app.test"] = ("10.0.9.9",)
    edge.names.served["app.test"] = served
    edge.pods |= {"10.0.9.9": ConnectRefused("no"), SPARE: answering(OK)}
    assert (await read_answer(await edge.ask(GET))).status == 200
    assert edge.dialled == ["10.0.9.9", SPARE]
    assert [attempt.failure for attempt in edge.record.attempts] == ["connect_refused", None]


async def test_a_fresh_address_that_fails_is_not_asked_for_again(edge: Edge) -> None:
    edge.pods[APP] = ConnectRefused("no")
    assert (await read_answer(await edge.ask(GET))).status == 502
    assert edge.names.asked == ["app.test"]


async def test_no_descriptor_is_nobodys_fault_but_ours(edge: Edge) -> None:
    edge.use(fallback_route())
    edge.pods |= {APP: NoDescriptor("EMFILE"), SPARE: answering(OK)}
    told = await read_answer(await edge.ask(GET))
    assert (told.status, told.get("Retry-After") is not None) == (503, True)
    assert (edge.record.closer, edge.record.close_reason) == ("proxy", "no_descriptor")
    assert edge.dialled == [APP]


async def test_an_endpoint_is_held_while_it_works(edge: Edge) -> None:
    started = trio.Event()

    async def slow(pod: Peer) -> None:
        await pod.until(b"\r\n\r\n")
        started.set()
        await trio.sleep(1)
        await pod.send(OK)

    edge.use(fallback_route())
    edge.pods |= {APP: resetting, SPARE: playing(slow)}
    client = await edge.ask(GET)
    await started.wait()
    assert (len(edge.context.balancer.loads), edge.context.balancer.loads.live((SPARE, 8000))) == (1, 1)
    assert (await read_answer(client)).status == 200
    assert len(edge.context.balancer.loads) == 0


async def test_where_the_time_went(edge: Edge) -> None:
    async def slow(pod: Peer) -> None:
        await pod.until(b"\r\n\r\n")
        await trio.sleep(2)
        await pod.send(OK)

    edge.use(fallback_route(deadlines={"resolve": 1, "connect": 3}))
    edge.names.served["app.test"] = None
    edge.names.cache["spare.test"] = ("10.0.9.9",)
    edge.pods |= {"10.0.9.9": None, SPARE: slow}
    assert (await read_answer(await edge.ask(GET))).status == 200
    parts = edge.record.parts
    assert (parts.resolve, parts.connect, parts.handshake) == pytest.approx((1, 3, 2))
