# Everything from nothing but make and a Python >= 3.11: each target first builds $(VENV) from the lock files.

VENV ?= .venv
PYTHON ?= python3
JOBS ?= 4
BIN := $(VENV)/bin
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev

# Tests start hundreds of Pythons: what one has compiled the others find, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test covered soak check format lint types mypy basedpyright floors bench docs lock clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    a migration that survives kill -9, on SQLite, in about a minute"
	@echo "make test    every test; PostgreSQL from this machine, else from a wheel"
	@echo "make covered the tests of what must be covered to the last branch"
	@echo "make soak    the long tests: every kill, thousands of pauses; hours"
	@echo "make check   format, lint, types, floors"
	@echo "make bench   measurements"
	@echo "make docs    the documentation, into docs/_build"
	@echo "make lock    the lock files anew (UPGRADE=1: with the newest versions)"
	@echo "make clean   remove what was built"

# A person answers at a terminal; without one --yes does.
demo: $(RUN)
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/saga demo $(DEMO); else $(BIN)/saga demo $(or $(DEMO),--yes); fi

# Tests that measure time go first and alone; pytest ends with 5 where it finds none. Then those of COVERED, with every
# branch of COVERS watched; then all others. None runs twice, and only those that the gate needs pay for it.
test: $(DEV)
	@status=0; \
	$(BIN)/pytest -m serial $(TESTS) || [ $$? -eq 5 ] || status=1; \
	$(if $(TESTS),,$(COVERING) || status=1;) \
	$(BIN)/pytest -m 'not serial' --numprocesses=$(JOBS) --dist=loadgroup $(or $(TESTS),$(COVERED:%=--ignore=%)) || status=1; \
	exit $$status

# What must be covered to the last branch, and the tests that have to do it on their own.
COVERS = domain store.record store.rows store.told store.written store.statements store.many store.tasks runtime.recorder
COVERED = tests/domain tests/domain_views $(patsubst %,tests/store/test_%.py,record many tasks) tests/runtime/test_recorder.py
# The ledger has branches for each kind of target: it is held to this where a MariaDB has to be there.
ifneq (,$(findstring mariadb,$(SAGA_TEST_REQUIRE)))
COVERS += ledger
COVERED += tests/ledger
endif
COVERING = $(BIN)/pytest -m 'not serial' --numprocesses=$(JOBS) $(COVERED) $(COVERS:%=--cov=saga_engine.%) \
	--cov-branch --cov-fail-under=100 --cov-report=term-missing:skip-covered

covered: $(DEV)
	@$(COVERING)

# Each test has a time limit of its own; SAGA_TEST_SEED chooses what is chosen by chance.
soak: $(DEV)
	$(BIN)/pytest -m soak --numprocesses=$(JOBS) $(TESTS)

# `make --keep-going check` shows what every tool finds.
check: format lint types floors

format: $(DEV)
	@$(BIN)/ruff format --check --quiet .

lint: $(DEV)
	@$(BIN)/ruff check --quiet .

types: mypy basedpyright

mypy: $(DEV)
	@$(BIN)/mypy --no-error-summary

basedpyright: $(DEV)
	@$(BIN)/basedpyright

floors: $(DEV)
	@$(BIN)/lint-imports --no-logo

# On a real disk, not in memory as other tests.
bench: $(DEV)
	PYTEST_DEBUG_TEMPROOT=$${TMPDIR:-/tmp} $(BIN)/pytest --override-ini=python_files='bench_*.py' --override-ini=timeout=0 -p no:randomly tests/benchmarks

docs: $(DEV)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --group build \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-header $(if $(UPGRADE),--upgrade)

lock: $(DEV)
	$(COMPILE) --output-file requirements/run.txt
	$(COMPILE) --output-file requirements/dev.txt --extra dev --constraints requirements/run.txt

clean:
	rm -rf $(VENV) dist build docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*

# --- the virtual environment: once, and again when a lock file or the project's metadata changes

PIP = $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-input --no-deps
OURS = $(PIP) --no-build-isolation --editable .

$(RUN): requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) ..." >&2
	@$(PIP) --require-hashes --requirement requirements/run.txt
	@$(OURS)
	@touch $@

$(DEV): requirements/dev.txt $(RUN)
	@echo "installing the tools for development into $(VENV) ..." >&2
	@$(PIP) --require-hashes --requirement requirements/dev.txt
	@touch $@

# A Python without ensurepip cannot build a virtual environment (Debian: apt install python3-venv).
$(BIN)/python:
	@for python in $(PYTHON) python3.14 python3.13 python3.12 python3.11 none; do \
		"$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	if [ "$$python" = none ]; then \
		echo "No Python >= 3.11 with venv and ensurepip found: install one, or name it: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	"$$python" -m venv $(VENV)
