# Two commands for a newcomer: `make run` and `make test`. Everything lives in .venv.
PYTHON ?= python3
TENANT ?= demo
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test unit lint engine image bench clean

run: $(VENV)/.run
	@exec "$(BIN)/python" run.py --tenant "$(TENANT)"

test: $(VENV)/.test
	"$(BIN)/python" -m pytest

unit: $(VENV)/.test
	"$(BIN)/python" -m pytest -m "not engine" --ignore=tests/e2e

lint: $(VENV)/.dev
	"$(BIN)/ruff" check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports" --no-cache

engine:
	@sh deploy/engine.sh

image: $(VENV)/.run
	"$(BIN)/klad" build

bench: $(VENV)/.test
	"$(BIN)/python" -m tests.bench

clean:
	rm -rf "$(VENV)" build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Klåd needs Python 3.11 or newer: sudo apt-get install python3 python3-venv (Debian), brew install python (macOS), or make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "making $(VENV) …"
	@$(PYTHON) -m venv "$(VENV)"

$(VENV)/.run: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing Klåd's packages …"
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -e . || \
	  { echo "pip could not install the packages (is a package index reachable?)" >&2; exit 1; }
	@touch "$@"

$(VENV)/.test: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing Klåd's packages and those of its tests …"
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -e '.[test]' || \
	  { echo "pip could not install the packages (is a package index reachable?)" >&2; exit 1; }
	@touch "$@" "$(VENV)/.run"

$(VENV)/.dev: setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "installing what lint needs …"
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -e '.[test,dev]' || \
	  { echo "pip could not install the packages (is a package index reachable?)" >&2; exit 1; }
	@touch "$@" "$(VENV)/.test" "$(VENV)/.run"
