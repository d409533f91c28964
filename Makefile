# Two commands: `make quickstart` (from a clone to a report) and `make test` (everything that CI checks).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# On Linux without a GPU, torch from its own CPU index is 3 GB smaller:
#   make quickstart TORCH="torch==2.13.0 --extra-index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

.PHONY: quickstart demo test coverage test-slow lint types imports unit docs fix clean

quickstart: $(VENV)/.core  ## install, run the quickstart study, write its report
	$(BIN)/proofglass run quickstart

demo: $(VENV)/.core  ## one small table, in seconds
	$(BIN)/proofglass demo

test: lint types imports unit  ## what CI runs

test-slow: $(VENV)/.dev  ## the minutes-long checks too
	$(BIN)/python -m pytest -n 2 -ra -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

# Every skipped test is printed with its reason (-ra). One thread per worker: two would wait for each other.
unit: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -ra

coverage: $(VENV)/.dev  ## which lines no test runs; takes half again as long as `make unit`
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q --cov=proofglass --cov-report=term-missing:skip-covered

docs: $(VENV)/.core  ## the method pages, from the registry
	$(BIN)/python scripts/make_docs.py

fix: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.core: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, found $$($(PYTHON) --version): make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(TORCH) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) install $(TORCH) -e ".[dev]"
	touch $@
