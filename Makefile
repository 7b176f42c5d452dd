# SPDX-License-Identifier: GPL-3.0-or-later
# One word per chore; `make` alone lists them.

SHELL := /bin/sh
BIN := .venv/bin
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
# Tests often wait, for a guest or a server: three of them keep two processors busy.
TESTERS ?= 3
SOURCES := conftest.py src tests tools packaging $(wildcard plugins/*/src plugins/*/tests)

.PHONY: help rescue lint unit every test test-vm test-faults check bench bench-recovery packages docs clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

rescue: .venv/for-rescue ## make a rescue ISO of this machine, as root (installs what is missing)
	@$(AS_ROOT) tools/rescue

# Whatever the environment says: without bytecode each process would compile all tests, and each `rear` all of it, anew.
check test test-vm test-faults: export PYTHONDONTWRITEBYTECODE =
check: .venv/for-check ## unit tests, lint, spelling and types
	@$(MAKE) --no-print-directory --jobs=2 lint unit

# Style, spelling and types.
lint:
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --quiet --check $(SOURCES)
	@$(BIN)/codespell
	@$(BIN)/mypy $(SOURCES)

unit:
	@$(BIN)/python -m pytest -q -n $(TESTERS) --hypothesis-profile quick -m "not root and not uml and not vm and not slow" \
		--ignore=tests/root --ignore=tests/uml --ignore=tests/vm

test: .venv/for-test ## everything, with real disks and virtual machines, as root (installs what is missing)
	@$(MAKE) --no-print-directory --jobs=2 lint every

every:
	@$(AS_ROOT) $(BIN)/python -m pytest -n $(TESTERS) --durations 15

test-vm: .venv/for-test-vm ## all tests in virtual machines, as root
	@$(AS_ROOT) env REAR_TEST_ALL=1 $(BIN)/python -m pytest -n $(TESTERS) -m "vm or uml or long" --durations 15

test-faults: .venv/for-test ## a thousand recoveries and backups struck at random, as root (hours; COUNT=N, SEED=N)
	@$(AS_ROOT) env PYTHONPATH=tests $(BIN)/python -m lab.faults $(COUNT:%=--count %) $(SEED:%=--seed %)

bench: .venv/for-test ## measure against Relax-and-Recover on the same tree, as root
	@$(AS_ROOT) env PYTHONPATH=tests $(BIN)/python -m lab.bench

bench-recovery: .venv/for-test ## measure a whole recovery against Relax-and-Recover 2.7, as root (most of an hour)
	@$(AS_ROOT) env PYTHONPATH=tests $(BIN)/python -m lab.recovery_race

packages: .venv/for-packages ## Debian and RPM packages, an archive for machines without a network, and a single file
	@$(BIN)/python packaging/build.py

docs: .venv/for-docs ## the documentation as HTML, with its generated pages
	@$(BIN)/python tools/reference.py
	@$(BIN)/python tools/screenshots.py
	@$(BIN)/sphinx-build -q -W docs docs/_build
	@echo "docs/_build/index.html"

clean: ## remove what was made here
	rm -rf --one-file-system .venv dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests tools plugins -name __pycache__ -prune -exec rm -rf --one-file-system {} +
	rm -rf --one-file-system src/*.egg-info plugins/*/src/*.egg-info build plugins/*/build

.venv/for-%: tools/install $(PROJECTS)
	@tools/install $*
	@touch $@
