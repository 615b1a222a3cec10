# Two commands on a fresh machine: `make run` sets up and does the main job, `make test` sets up and tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: run demo test check docs bench lock clean help

help:            ## What there is
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'

run: $(VENV)/.core   ## Set up, start the gateway with the starter recipe, take the tour; stays up at a terminal
	@$(BIN)/trimtab demo --up

demo: $(VENV)/.core  ## The tour alone; exits with 0 only if every probe got its decision
	@$(BIN)/trimtab demo

test: $(VENV)/.dev   ## Set up and test
	@$(BIN)/python -m pytest -q

check: $(VENV)/.dev  ## Lint, types and who may import whom
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright && $(BIN)/lint-imports

docs: $(VENV)/.dev   ## Run the examples of the docs and check their links
	@$(BIN)/python -m pytest -q tests/docs

bench: $(VENV)/.dev  ## The benchmarks behind the docs' figures; prints tables, writes benchmarks/results/*.json
	@for file in footprint encoder heads guards masking thai grounding cutting decide intents sieve ledger reader retrieval routing planner starter handbooks gateway; do $(BIN)/python benchmarks/$$file.py || exit 1; done

lock:            ## Pin everything anew, with hashes (needs uv)
	uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate -o requirements/core.lock
	uv pip compile -q requirements/build.in --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate -c requirements/core.lock -o requirements/build.lock
	uv pip compile -q pyproject.toml requirements/build.in --group dev --extra local --extra docs --extra postgres --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate -c requirements/core.lock -o requirements/dev.lock

clean:           ## Remove the environment and the caches
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Trimtab needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.core: requirements/core.lock requirements/build.lock pyproject.toml | $(VENV)/bin/python
	@echo "Setting up $(VENV) (about half a minute) ..." >&2
	@$(PIP) install --require-hashes -r requirements/core.lock -r requirements/build.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.core
	@echo "Adding what the tests need ..." >&2
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@
