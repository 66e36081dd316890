"""The text for Prometheus: real files of real processes, a real board, workers that answer on real channels."""

from __future__ import annotations

import math
import time
from collections import Counter as Tally
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from splicer import __version__
from splicer.admin import removed
from splicer.admin.discovered import STATES
from splicer.ipc.board import Column
from splicer.ipc.endpoint_memory import EndpointMemory
from splicer.ipc.facts import OperatorDrains, Reloads
from splicer.policy.endpoint_flags import EJECTED, UNHEALTHY, Verdict
from splicer.upstream.snapshot import encode
from tests.admin.counting import Start
from tests.admin.page import Page, scraped, scraper
from tests.admin.rig import CONFIG, counts, endpoint, rig, tunnel
from tests.deploy.families import FAMILIES

_PARTS_OF_HISTOGRAMS = ("_bucket", "_count", "_sum")


def _rows(directory: Path) -> set[str]:
    """Those that files are for."""
    return {file.stem.rpartition("_")[2] for file in directory.iterdir()}


# ---- the families ----


def _check_against_the_list(page: Page) -> None:
    """Every family is as the list of them says, and none is missing on either side."""
    assert page.families.keys() == FAMILIES.keys()
    for name, family in page.families.items():
        kind, labels = FAMILIES[name]
        assert family.type == kind, name
        assert family.documentation, name
        assert family.samples, f"{name} has no sample"
        for sample in family.samples:
            own = sample.labels.keys() - ({"le"} if sample.name.endswith("_bucket") else set())
            assert own == labels.keys(), sample
            for label, allowed in labels.items():
                assert not allowed or sample.labels[label] in allowed, sample
        names = {sample.name for sample in family.samples}
        assert names == ({name + part for part in _PARTS_OF_HISTOGRAMS} if kind == "histogram" else {name})


async def test_at_the_first_scrape_every_family_has_a_sample(tmp_path: Path, start: Start) -> None:
    start(tmp_path, 2).tell("know", config=CONFIG)
    async with rig() as admin:
        admin.board.row(2)[Column.SLOT] = 1
        admin.worker(1, counts=counts(), endpoints=[])
        _check_against_the_list(await scraped(admin, tmp_path))


async def test_and_when_all_have_happened(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path, 2)
    process.tell("know", config=CONFIG)
    process.tell("opened")
    process.tell("closed", to_pod=3, to_client=4)
    async with rig() as admin:
        admin.board.row(2)[Column.SLOT] = 1
        drains = OperatorDrains(1.0, {"pod-1": 2.0}, {"call": 3.0})
        admin.learn(drains=drains, generation=1)
        admin.worker(1, counts=counts(("call", "pod-1", 1)), endpoints=[endpoint("pod-1", "127.0.0.11")])
        _check_against_the_list(await scraped(admin, tmp_path))


@pytest.mark.parametrize("files", [False, True], ids=["no file", "a process that knows no route"])
async def test_without_any_worker_every_family_is_there(tmp_path: Path, start: Start, files: bool) -> None:
    if files:
        start(tmp_path, 2)
    async with rig() as admin:
        page = await scraped(admin, tmp_path)
        missing = FAMILIES.keys() - {name for name, family in page.families.items() if family.samples}
        assert sorted(missing) == []


async def test_help_and_type_come_once_each(tmp_path: Path, start: Start) -> None:
    for row in (2, 3):
        start(tmp_path, row).tell("know", config=CONFIG)
    async with rig() as admin:
        page = await scraped(admin, tmp_path)
    for word in ("HELP", "TYPE"):
        told = Tally(line.split()[2] for line in page.text.splitlines() if line.startswith(f"# {word} "))
        assert told.keys() == page.families.keys()
        assert set(told.values()) == {1}
    assert "_created" not in page.text


# ---- what was counted ----


async def test_counts_of_all_rows_are_added_the_dead_ones_too(tmp_path: Path, start: Start) -> None:
    first, second = start(tmp_path, 2), start(tmp_path, 3)
    for process in (first, second):
        for _ in range(2):
            process.tell("opened")
    first.kill()
    again = start(tmp_path, 2)
    again.tell("opened", pod="pod-2")
    again.tell("late", seconds=0.003)
    assert _rows(tmp_path) == {"2", "3"}, "who takes over a row has no files of its own"
    async with rig() as admin:
        page = await scraped(admin, tmp_path)
    assert page.all("tunnels_total") == {("call", ""): 0, ("call", "pod-1"): 4, ("call", "pod-2"): 1}
    assert page["requests_total call GET 1xx"] == 5
    lag = {sample.labels.get("le"): sample.value for sample in page.families["splicer_event_loop_lag_seconds"].samples}
    assert (lag["0.0025"], lag["0.005"], lag["+Inf"]) == (0, 1, 1)


async def test_a_file_that_is_just_being_made_says_nothing_yet(tmp_path: Path, start: Start) -> None:
    start(tmp_path, 2).tell("opened")
    (tmp_path / "counter_3.db").touch()
    (tmp_path / "histogram_3.db").write_bytes(bytes(1 << 16))  # it has its room, and no entry
    (tmp_path / "notes").write_text("not a file of counts")
    async with rig() as admin:
        assert (await scraped(admin, tmp_path))["tunnels_total call pod-1"] == 1


async def test_without_a_directory_there_is_all_that_nobody_counts() -> None:
    async with rig(wanted=2) as admin:
        page = await scraped(admin, None)
    assert page["workers_wanted"] == 2
    assert set(page.all("endpoints").values()) == {0}


# ---- what is so right now ----


async def test_the_board_tells_of_connections_adoptions_and_pipes(tmp_path: Path) -> None:
    async with rig() as admin:
        for number, (accepted, reading, writing, waiting, adopted, pooled, parked) in {
            0: (100, 0, 0, 0, 10, 0, 0),  # the dead
            2: (1, 2, 4, 8, 1, 5, 6),
            3: (2, 16, 32, 64, 2, 7, 8),
        }.items():
            row = admin.board.row(number)
            row[Column.ACCEPTED], row[Column.ADOPTED] = accepted, adopted
            row[Column.READING], row[Column.WRITING], row[Column.WAITING] = reading, writing, waiting
            row[Column.PIPES_POOLED], row[Column.PIPES_PARKED] = pooled, parked
        page = await scraped(admin, tmp_path)
    assert page["connections_total"] == 103
    assert page["connections_active"] == 126
    assert page["tunnels_adopted_total"] == 13
    assert page.all("pipes") == {("pooled",): 12, ("parked",): 14}


async def test_workers_are_counted_by_what_moves_their_frames(tmp_path: Path) -> None:
    async with rig(wanted=3) as admin:
        assert (await scraped(admin, tmp_path)).all("relay_workers") == {("native",): 0, ("python",): 0}
        for slot, mover in ((1, "native"), (1, "native"), (2, "native"), (3, "python"), (4, "")):
            admin.worker(slot, mover=mover)
        page = await scraped(admin, tmp_path)
    assert page.all("relay_workers") == {("native",): 2, ("python",): 1}


async def test_a_slot_is_served_once_and_protected_if_one_on_it_is(tmp_path: Path) -> None:
    async with rig(wanted=3) as admin:
        for number, (slot, vault) in {2: (1, 1), 3: (1, 0), 4: (2, 0), 5: (0, 1)}.items():
            row = admin.board.row(number)
            row[Column.SLOT], row[Column.VAULT] = slot, vault
        page = await scraped(admin, tmp_path)
    assert (page["workers_wanted"], page["workers_serving"]) == (3, 2)
    assert page.all("vault_connected") == {("1",): 1, ("2",): 0}


async def test_tunnels_of_all_workers_are_added_and_those_that_are_over_are_zero(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path, 2)
    for pod in ("pod-1", "pod-2", "pod-3"):
        process.tell("opened", pod=pod)
    async with rig() as admin:
        admin.worker(1, counts=counts(("call", "pod-1", 2), ("call", "pod-2", 1)))
        admin.worker(2, counts=counts(("call", "pod-1", 3)))
        page = await scraped(admin, tmp_path)
    assert page.all("tunnels_active") == {
        ("call", ""): 0,
        ("call", "pod-1"): 5,
        ("call", "pod-2"): 1,
        ("call", "pod-3"): 0,
    }


async def test_pods_that_were_too_many_to_count_are_others_here_too(tmp_path: Path, start: Start) -> None:
    start(tmp_path, 2).tell("opened")
    async with rig() as admin:
        admin.worker(1, counts=counts(("call", "pod-1", 1), ("call", "pod-8", 2), ("call", "pod-9", 3)))
        page = await scraped(admin, tmp_path)
    assert page.all("tunnels_active") == {("call", ""): 0, ("call", "pod-1"): 1, ("call", "other"): 5}


async def test_an_endpoint_is_as_whoever_learned_last_says(tmp_path: Path, start: Start) -> None:
    start(tmp_path, 2).tell("know", config=CONFIG)
    known = [
        [
            endpoint("pod-1", "127.0.0.11", "down", since_s=1.0),
            endpoint("pod-2", "127.0.0.12", "up", since_s=9.0),
            endpoint("pod-3", "127.0.0.13", "unknown", since_s=None),
            endpoint("pods", "127.0.0.11", "up", since_s=1.0, upstream="new"),
        ],
        [
            endpoint("pod-1", "127.0.0.11", "up", since_s=5.0),
            endpoint("pod-2", "127.0.0.12", "down", since_s=2.0),
            endpoint("pod-3", "127.0.0.13", "unknown", since_s=None),
        ],
    ]
    for order in (known, known[::-1]):
        async with rig() as admin:
            for slot, rows in enumerate(order, start=1):
                admin.worker(slot, endpoints=rows)
            page = await scraped(admin, tmp_path)
        found = page.all("endpoints")
        assert {key: value for key, value in found.items() if value} == {
            ("pod", "down"): 2,
            ("pod", "unknown"): 1,
            ("new", "up"): 1,
        }
        assert found.keys() == {(name, state) for name in ("any-pod", "new", "pod") for state in STATES}


async def test_the_fullest_endpoint_is_that_of_all_workers(tmp_path: Path) -> None:
    async with rig() as admin:
        admin.worker(
            1, endpoints=[endpoint("pod-1", "127.0.0.11", tunnels=5), endpoint("pod-2", "127.0.0.12", tunnels=7)]
        )
        admin.worker(
            2, endpoints=[endpoint("pod-1", "127.0.0.11", tunnels=4), endpoint("a", "::1", upstream="any-pod")]
        )
        page = await scraped(admin, tmp_path)
    assert page.all("endpoint_tunnels_most") == {("pod",): 9, ("any-pod",): 0}


async def test_what_is_judged_goes_before_the_last_attempt(tmp_path: Path, start: Start) -> None:
    start(tmp_path, 2).tell("know", config=CONFIG)
    judged = CONFIG.replace("[upstreams.any-pod]", "outlier_detection = {}\n[upstreams.any-pod]")
    addresses = ["127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14"]
    rows = [endpoint(f"pod-{number}", address, upstream="pod") for number, address in enumerate(addresses)]
    rows += [endpoint("pods", address, upstream="any-pod") for address in addresses]
    now = time.monotonic()
    verdicts = {
        ("127.0.0.11", 8000): Verdict(EJECTED | UNHEALTHY, until=now + 100, lapses=now + 100),
        ("127.0.0.12", 8000): Verdict(UNHEALTHY, lapses=now + 100),
        ("127.0.0.13", 8000): Verdict(EJECTED, until=now - 1),
    }
    async with rig(judged) as admin:
        EndpointMemory(admin.board.endpoints, writable=True).publish(encode({}, verdicts))
        admin.worker(1, endpoints=rows)
        page = await scraped(admin, tmp_path)
    assert {key: value for key, value in page.all("endpoints").items() if value} == {
        ("pod", "ejected"): 1,
        ("pod", "unhealthy"): 1,
        ("pod", "up"): 2,
        ("any-pod", "up"): 4,
    }, "an upstream without the keys obeys nobody"


async def test_the_supervisors_facts_are_told(tmp_path: Path) -> None:
    async with rig() as admin:
        fresh = await scraped(admin, tmp_path)
        assert (fresh["config_last_reload_success"], fresh["config_last_reload_timestamp_seconds"]) == (1, 0)
        reloads = Reloads(ok=3, failed=2, last_ok=False, last_at=1700000000.5)
        admin.learn(generation=4, restarts=5, reloads=reloads, workers=6)
        page = await scraped(admin, tmp_path)
    assert page["config_generation"] == 4
    assert page["worker_restarts_total"] == 5
    assert page["workers_wanted"] == 6
    assert (page["config_last_reload_success"], page["config_last_reload_timestamp_seconds"]) == (0, 1700000000.5)
    assert page.all("config_reloads_total") == {("ok",): 3, ("failed",): 2}
    assert page.all("build_info") == {(__version__,): 1}
    assert page["start_time_seconds"] == pytest.approx(fresh["start_time_seconds"], abs=60)
    assert page["start_time_seconds"] > 1e9


async def test_a_drain_tells_how_many_tunnels_it_waits_for(tmp_path: Path) -> None:
    drains = OperatorDrains(None, {"pod-1": 1.0, "pod-9": 1.0}, {"call": 1.0})
    async with rig() as admin:
        admin.board.row(2)[Column.TUNNELS] = 9
        listed = [*(tunnel(str(number)) for number in range(6)), tunnel("else", pod="pod-2", address="127.0.0.12")]
        rows = counts(("call", "pod-1", 2), ("call", "pod-2", 1), ("other", "pod-1", 4))
        admin.worker(1, counts=rows, tunnels=listed)
        calm = await scraped(admin, tmp_path)
        assert (calm["draining"], calm.all("drain_remaining_tunnels")) == (0, {("all", ""): 0})
        admin.learn(drains=drains)
        page = await scraped(admin, tmp_path)
        assert page["draining"] == 0
        parts = {("all", ""): 0, ("pod", "pod-1"): 6, ("pod", "pod-9"): 0, ("route", "call"): 3}
        assert page.all("drain_remaining_tunnels") == parts
        for draining, all_drains in ((True, drains), (False, replace(drains, all=1.0))):
            admin.learn(draining=draining, drains=all_drains)
            page = await scraped(admin, tmp_path)
            assert page["draining"] == 1
            assert page.all("drain_remaining_tunnels") == {**parts, ("all", ""): 9}


async def test_a_number_is_written_so_that_it_can_be_read_again(tmp_path: Path, start: Start) -> None:
    start(tmp_path, 2).tell("closed", to_pod=(1 << 53) - 1, to_client=1)
    async with rig() as admin:
        page = await scraped(admin, tmp_path)
    assert page.bytes == ((1 << 53) - 1, 1)
    assert all(math.isfinite(sample.value) for family in page.families.values() for sample in family.samples)


# ---- routes that are removed ----


async def test_the_series_of_a_removed_route_go_after_an_hour_and_stay_away(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(removed, "monotonic", lambda: now)
    process = start(tmp_path, 2)
    process.tell("know", config=CONFIG)
    process.tell("opened")
    other = CONFIG.replace('name = "call"', 'name = "another"')
    async with rig(other) as admin:
        worker = admin.worker(1, counts=counts(("call", "pod-1", 1)), endpoints=[])
        scrape = scraper(admin, tmp_path)
        assert Page(await scrape())["tunnels_total call pod-1"] == 1
        now += 3600  # its call goes on
        assert Page(await scrape())["tunnels_total call pod-1"] == 1
        worker.rows["counts"] = counts()
        assert Page(await scrape())["tunnels_active call pod-1"] == 0
        now += 3600
        text = (await scrape()).decode()
        assert 'route="call"' not in text
        assert 'route="another"' in text
        process.kill()
        start(tmp_path, 2).tell("know", config=other)  # its row's next process goes on with its file
        for page in (Page(await scrape()), await scraped(admin, tmp_path)):
            assert 'route="call"' not in page.text
        admin.current.learn(CONFIG)
        with trio.fail_after(20):
            while Page(await scrape()).text.find('route="call"') < 0:  # noqa: ASYNC110 - it is read in a thread
                await trio.sleep(0.01)
        assert Page(await scrape())["tunnels_total call pod-1"] == 1  # as every counter, it never falls
