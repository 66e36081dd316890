"""The image: its Dockerfile says what a pod needs, and what it says works, as far as that shows without an engine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.deploy.builder import Build, Image
from tests.deploy.container import USER, container
from tests.deploy.dockerfile import Instruction, Stage, left_out, stages

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILDER, FINAL = stages(TEXT)
COPIES = [copy for stage in (BUILDER, FINAL) for copy in stage.all("COPY") if "from" not in copy.flags]


def hadolint(text: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Judge a Dockerfile: every rule, nothing waived, by no configuration of this machine's."""
    command = shutil.which("hadolint", path=Path(sys.executable).parent)
    if command is None:
        pytest.skip("hadolint is not installed beside this Python")
    return subprocess.run(
        [command, "--no-color", "--disable-ignore-pragma", "--failure-threshold", "style", "-"],
        input=text,
        cwd=home,
        env={"HOME": str(home)},
        capture_output=True,
        text=True,
    )


def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    judged = hadolint(TEXT, tmp_path)
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")


def test_hadolint_judges(tmp_path: Path) -> None:
    judged = hadolint(TEXT.replace("WORKDIR /build", "RUN cd /build  # hadolint ignore=DL3003"), tmp_path)
    assert "DL3003" in judged.stdout
    assert judged.returncode == 1


def sources(copies: list[Instruction]) -> list[Path]:
    return [Path(source) for copy in copies for source in copy.words[:-1]]


@pytest.mark.parametrize("source", sources(COPIES), ids=str)
def test_what_is_copied_is_there_and_is_let_in(source: Path) -> None:
    found = ROOT / source
    assert found.exists()
    assert found.resolve().is_relative_to(ROOT / source.parts[0])  # a link out of what is let in leads nowhere
    files = list(found.rglob("*.py")) if found.is_dir() else [found]
    assert files
    assert not [path for path in files if left_out(IGNORED, path.relative_to(ROOT))]


@pytest.mark.parametrize(
    "path",
    [
        *(".git/config", ".ci/run", ".ci/requirements.lock", "tests/conftest.py", "deploy/base/deployment.yaml"),
        *("routing.toml", ".venv/bin/python", "splicer/__pycache__/cli.cpython-313.pyc", "bench/run.py", "Dockerfile"),
        "splicer/relay/_mover.abi3.so",  # this machine's own: the image compiles another
    ],
)
def test_nothing_else_is_let_in(path: str) -> None:
    assert left_out(IGNORED, Path(path))


def test_both_stages_stand_on_one_slim_base_whose_version_can_be_said() -> None:
    assert {BUILDER.base, FINAL.base} == {"python:${PYTHON}"}
    (version,) = re.findall(r"^ARG PYTHON=(.+)$", TEXT, re.MULTILINE)
    assert re.fullmatch(r"3\.\d+-slim-[a-z]+", version)
    python = version.partition("-")[0]
    assert f"Programming Language :: Python :: {python}" in PROJECT["project"]["classifiers"]


def test_the_image_runs_as_a_user_that_kubernetes_sees_is_not_root() -> None:
    assert FINAL.one("USER").text == f"{USER}:{USER}"
    assert FINAL.instructions.index(FINAL.one("USER")) > max(
        FINAL.instructions.index(last) for name in ("RUN", "COPY") for last in FINAL.all(name)
    )


def test_the_image_starts_splicer_with_no_shell_between() -> None:
    entry, command = FINAL.one("ENTRYPOINT"), FINAL.one("CMD")
    assert entry.text.startswith("[")
    assert entry.words == ["splicer"]
    assert command.text.startswith("[")
    assert command.words == ["run", "-c", "/etc/splicer/routing.toml"]
    assert FINAL.one("STOPSIGNAL").text == "SIGTERM"
    assert FINAL.one("WORKDIR").text == "/etc/splicer"
    assert FINAL.one("EXPOSE").words == ["8080", "9902"]


@pytest.mark.parametrize("stage", [BUILDER, FINAL], ids=["builder", "final"])
def test_probes_judge_and_no_compiler_of_the_systems_is_needed(stage: Stage) -> None:
    assert not stage.all("HEALTHCHECK")
    assert not stage.all("ADD")
    for run in stage.all("RUN"):
        assert not re.search(r"\b(apt(-get)?|apk|gcc|g\+\+|make|curl|wget)\b", run.text)
        for install in re.findall(r"\bpip\b[^&]* install\b[^&]*", run.text):
            assert "--require-hashes --only-binary=:all:" in install or "--no-deps --no-index" in install


def test_the_final_stage_takes_the_environment_alone_and_loses_pip() -> None:
    taken = [copy.words for copy in FINAL.all("COPY") if "from" in copy.flags]
    assert taken == [["/opt/splicer", "/opt/splicer"]]
    assert "pip uninstall" in FINAL.one("RUN").text
    assert " install " not in FINAL.one("RUN").text.replace("install --directory", "")


def test_the_labels_say_what_it_is() -> None:
    labels, project = FINAL.pairs("LABEL"), PROJECT["project"]
    assert labels == {
        "org.opencontainers.image.title": project["name"],
        "org.opencontainers.image.description": project["description"],
        "org.opencontainers.image.licenses": project["license"],
        "org.opencontainers.image.version": "${VERSION}",
        "org.opencontainers.image.revision": "${REVISION}",
        "org.opencontainers.image.source": "${SOURCE}",
    }
    assert FINAL.pairs("ARG") == {"VERSION": project["version"], "REVISION": "", "SOURCE": ""}


def lock(name: str) -> dict[str, tuple[str, int]]:
    """What a lock pins: the version of every package, and how many hashes it has."""
    entries = re.split(r"\n(?=\S)", (ROOT / ".ci" / name).read_text())
    pins = [(entry, re.match(r"([a-z0-9.-]+)==(\S+)", entry)) for entry in entries]
    return {pin[1]: (pin[2], entry.count("--hash=sha256:")) for entry, pin in pins if pin}


@pytest.mark.parametrize("name", ["runtime.lock", "build.lock"])
def test_what_goes_into_the_image_is_what_was_tested(name: str) -> None:
    pins, tested = lock(name), lock("requirements.lock") | lock("wheels.lock")
    assert pins
    assert pins.items() <= tested.items()
    assert all(hashes for _, hashes in pins.values())


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("runtime.lock", PROJECT["project"]["dependencies"]),
        ("build.lock", [*PROJECT["build-system"]["requires"], "ziglang"]),
    ],
)
def test_a_lock_has_what_the_project_names(name: str, wanted: list[str]) -> None:
    pins = lock(name)
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[requirement.name][0])


def test_the_image_has_no_tool_of_the_developers() -> None:
    needed = {Requirement(each).name for each in PROJECT["project"]["dependencies"]}
    groups = PROJECT["dependency-groups"]
    tools = {Requirement(each).name for each in groups["dev"] + groups["wheels"]} - needed
    assert not tools & lock("runtime.lock").keys()


def test_the_extension_is_for_every_processor_of_its_kind() -> None:
    """Without a target, zig compiles for the processor that it runs on."""
    (compiled,) = [run.text for run in BUILDER.all("RUN") if "pip wheel" in run.text]
    assert 'SPLICER_NATIVE=1 CC="python -m ziglang cc -target $(uname -m)-linux-gnu.2.17"' in compiled


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The first stage, on the Python that runs the tests."""
    with container(tmp_path_factory.mktemp("tree")) as made:
        yield Build(ROOT, made, {}).follow(BUILDER)


@pytest.fixture(scope="module")
def image(builder: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """What the Dockerfile makes."""
    with container(tmp_path_factory.mktemp("tree")) as final:
        yield Build(ROOT, final, {str(BUILDER.name): builder.container}).follow(FINAL)


def said(image: Image, *command: str) -> str:
    done = subprocess.run(image.command(*command), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_image_knows_its_version_and_its_routes_are_right(image: Image) -> None:
    assert said(image, "splicer", "--version") == f"splicer {PROJECT['project']['version']}\n"
    assert re.match(r"routing.toml: ok, \d+ routes", said(image, "splicer", "check"))


@pytest.mark.slow
def test_the_image_moves_frames_in_c(image: Image) -> None:
    told = "from splicer.relay.state import NATIVE; print(NATIVE)"
    assert said(image, "env", "SPLICER_NATIVE=1", "python", "-c", told) == "True\n"
    assert not list(image.container.path("/opt/splicer").glob("lib/*/site-packages/ziglang"))


@pytest.mark.slow
def test_two_builds_have_the_same_bytes(builder: Image) -> None:
    (first,) = builder.container.path("/build/dist").glob("splicer-*-cp311-abi3-*.whl")
    (command,) = [run.text for run in BUILDER.all("RUN") if "pip wheel" in run.text]
    again = f"cp -r /build /again && cd /again && rm -r dist $ZIG_GLOBAL_CACHE_DIR && {command}"
    builder.container.build(again.partition(" && pip --python")[0], "/", builder.environment)
    assert builder.container.path(f"/again/dist/{first.name}").read_bytes() == first.read_bytes()


@pytest.mark.slow
def test_the_image_has_no_pip_and_its_byte_code_never_looks_at_its_source(image: Image) -> None:
    opt = image.container.path("/opt/splicer")
    source, compiled = (set(opt.glob(f"lib/**/*{suffix}")) for suffix in (".py", ".pyc"))
    assert source
    assert {cache_from_source(path) for path in source} == {str(path) for path in compiled}
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\x01\0\0\0"}  # PEP 552: by hash, unchecked
    assert not [*opt.glob("bin/pip*"), *opt.glob("lib/*/site-packages/pip*")]
    assert not list(image.container.path("/opt/base").rglob("bin/pip*"))


@contextmanager
def running(image: Image) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The image's own entry point and command; its process, and the one that ends as it ends."""
    entry = [*FINAL.one("ENTRYPOINT").words, *FINAL.one("CMD").words]
    with subprocess.Popen(
        image.command(*entry), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as outside:
        try:
            yield first_child(outside), outside
        finally:
            outside.kill()


def first_child(process: subprocess.Popen[str]) -> int:
    for _ in range(100):
        if found := Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            return int(found[0])
        time.sleep(0.1)
    pytest.fail("no process came up")


def answer(pid: int, url: str) -> str:
    """What the edge answers to somebody in its own network namespace, once it answers."""
    ask = f"from urllib.request import urlopen; print(urlopen({url!r}, timeout=5).read().decode(), end='')"
    for _ in range(100):
        inside = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", ask]
        done = subprocess.run(inside, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout
        time.sleep(0.2)
    pytest.fail(done.stderr)


@pytest.mark.slow
def test_the_image_serves_as_a_stranger_on_a_read_only_tree_and_drains(image: Image) -> None:
    with running(image) as (pid, outside):
        assert answer(pid, "http://127.0.0.1:8080/health") == "healthy\n"
        status = dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
        assert set(status["Uid"].split() + status["Gid"].split()) == {str(USER)}
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert (status["NoNewPrivs"], status["NSpid"].split()[-1]) == ("1", "1")
        mounts = [line.split() for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
        writable = {where for _, where, _, options, *_ in mounts if "rw" in options.split(",")}
        assert {where for _, where, *_ in mounts} > {"/"}
        assert "/" not in writable
        assert {"/dev/shm", "/run/splicer"} <= writable
        os.kill(pid, signal.SIGTERM)
        assert outside.wait(timeout=60) == 0
