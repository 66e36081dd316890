"""The profiles in use: what a look at the files changes, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trustme

from splicer.ipc.tls_messages import PodProfile, ProfileFacts, ServerProfile, TlsSettings
from splicer.tls.contexts import SYSTEM
from splicer.tls.store import Store, check
from tests.kit.tls import Certificates
from tests.tls.bios import folder


class Watched:
    """A store, and what it tells."""

    def __init__(self) -> None:
        self.told: list[ProfileFacts] = []
        self.it = Store(self.told.append)

    def names(self) -> list[tuple[str, ...]]:
        """Of the certificates in use."""
        return [one.names for facts in self.it.facts() for one in facts.certificates]

    def look(self, times: int) -> list[ProfileFacts]:
        """What is told by so many looks."""
        self.told.clear()
        for _ in range(times):
            self.it.look()
        return list(self.told)


def edge(*folders: Path) -> TlsSettings:
    return TlsSettings(1, {"edge": ServerProfile(tuple(map(folder, folders)))}, {})


@pytest.fixture
def watched(certificates: Certificates) -> Watched:
    made = Watched()
    assert made.it.use(edge(certificates.folder("edge", "old.test"))) == []
    return made


def test_files_that_stay_are_read_once(watched: Watched) -> None:
    assert watched.look(5) == []


def test_new_files_are_used_when_two_looks_agree(watched: Watched, certificates: Certificates) -> None:
    before = watched.it.server("edge")
    certificates.folder("edge", "new.test")
    assert watched.look(1) == []
    assert watched.it.server("edge") is before, "a file may be half written"
    [facts] = watched.look(1)
    assert (facts.name, facts.side, facts.fault) == ("edge", "client", None)
    assert watched.names() == [("new.test",)]
    assert watched.it.server("edge") is not before
    assert watched.look(3) == []


def test_files_that_go_on_changing_are_waited_for(watched: Watched, certificates: Certificates) -> None:
    for number in range(4):
        certificates.folder("edge", f"{number}.test")
        assert watched.look(1) == []
    assert watched.names() == [("old.test",)]
    assert len(watched.look(1)) == 1
    assert watched.names() == [("3.test",)]


def test_unfit_files_are_told_of_once_and_the_old_ones_serve(watched: Watched, certificates: Certificates) -> None:
    before = watched.it.server("edge")
    (certificates.directory / "edge" / "tls.key").write_text("no key")
    [facts] = watched.look(2)
    assert facts.fault is not None
    assert "; serving the old one until " in facts.fault
    assert [one.names for one in facts.certificates] == [("old.test",)]
    assert watched.it.server("edge") is before
    assert watched.look(5) == [], "it is not tried each second"
    certificates.folder("edge", "new.test")
    [facts] = watched.look(2)
    assert (facts.fault, watched.names()) == (None, [("new.test",)])


def test_files_that_are_gone_are_a_fault(watched: Watched, certificates: Certificates) -> None:
    (certificates.directory / "edge" / "tls.crt").unlink()
    [facts] = watched.look(2)
    assert facts.fault is not None
    assert "tls.crt: No such file or directory" in facts.fault


# A kubelet may take back what it has mounted, to what is in use.
def test_unfit_files_that_are_put_back_are_no_fault_for_ever(watched: Watched, certificates: Certificates) -> None:
    key = certificates.directory / "edge" / "tls.key"
    kept = key.with_name("kept")
    os.rename(key, kept)  # noqa: PTH104 - the same file is to come back
    [facts] = watched.look(2)
    assert facts.fault is not None
    os.rename(kept, key)  # noqa: PTH104
    watched.look(2)
    assert watched.it.facts()[0].fault is None


def test_other_settings_are_used_as_a_whole_or_not_at_all(watched: Watched, certificates: Certificates) -> None:
    good = certificates.folder("good", "good.test")
    pod = PodProfile(str(certificates.directory / "nothing.pem"))
    settings = TlsSettings(1, {"other": ServerProfile((folder(good),))}, {"voice": pod})
    [fault] = watched.it.use(settings)
    assert fault.startswith("[upstreams.voice] ")
    assert "nothing.pem" in fault
    assert (watched.it.server("other"), watched.names()) == (None, [("old.test",)])
    pod = PodProfile(str(certificates.ca))
    assert watched.it.use(TlsSettings(1, {"other": ServerProfile((folder(good),))}, {"voice": pod})) == []
    assert watched.it.server("edge") is None
    assert watched.it.server("other") is not None
    assert watched.it.pod("voice") is not None
    assert watched.it.pod("other") is None


def test_an_authority_that_changes_is_read_again(certificates: Certificates) -> None:
    watched = Watched()
    assert watched.it.use(TlsSettings(1, {}, {"voice": PodProfile(str(certificates.ca))})) == []
    before = watched.it.pod("voice")
    trustme.CA().cert_pem.write_to_path(str(certificates.ca))
    [facts] = watched.look(2)
    assert (facts.name, facts.side) == ("voice", "pod")
    assert watched.it.pod("voice") is not before


def test_without_any_authority_on_the_machine_that_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splicer.tls.store.system_has_authorities", lambda: False)
    [fault] = Watched().it.use(TlsSettings(1, {}, {"voice": PodProfile(SYSTEM)}))
    assert fault.startswith('[upstreams.voice] ca = "system": this machine has no store of authorities')


@pytest.mark.parametrize(
    ("days", "warnings"),
    [(30, []), (6, ["edge: {} expires within 7 days"]), (-1, ["edge: {} has expired"])],
)
def test_what_an_owner_should_know(certificates: Certificates, days: int, warnings: list[str]) -> None:
    path = certificates.by_uri("it", "spiffe://a.test/x", days=days)
    assert check(edge(path)) == ([], [warning.format(path) for warning in warnings])


def test_a_check_names_each_fault(certificates: Certificates, tmp_path: Path) -> None:
    good = certificates.folder("good", "a.test")
    faults, _ = check(edge(good, tmp_path / "one"))
    assert len(faults) == 1
    assert faults[0].startswith("[tls.edge] ")
    settings = TlsSettings(1, {name: ServerProfile((folder(tmp_path / name),)) for name in ("a", "b")}, {})
    assert [fault.split("]")[0] for fault in check(settings)[0]] == ["[tls.a", "[tls.b"]
