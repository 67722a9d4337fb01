# Interlock: every verb sets up what it needs on a machine with python3 (venv) and make.
PYTHON ?= python3
TOOLS := .tools
UV := $(TOOLS)/bin/uv
BIN := .venv/bin
LOCK := lock/dev.txt
export UV_PYTHON_DOWNLOADS = never
export UV_NO_PROGRESS = 1

.PHONY: help setup demo test unit conformance check fix bench docs lock

help: ## Show the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

$(UV):
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check -r lock/tools.txt

.venv/.ready: $(UV) $(LOCK) pyproject.toml
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes $(LOCK)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

setup: .venv/.ready ## Install the pinned tools and dependencies into .venv

demo: .venv/.ready ## Run the story: an agent's tool calls, governed end to end
	$(BIN)/interlock demo --once

test: .venv/.ready ## Run the tests a contributor needs to trust a change (SQLite and PostgreSQL)
	$(BIN)/python -m pytest -n 2 --dist worksteal tests --ignore=tests/conformance

unit: .venv/.ready ## Run the core's tests with branch coverage
	$(BIN)/python -m pytest tests/unit --cov --cov-fail-under=100

conformance: .venv/.ready ## Run the official MCP conformance suite against the gateway, both eras
	$(BIN)/python -m tests.conformance.run

check: .venv/.ready ## Lint, import contracts, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --config pyproject.toml
	$(BIN)/pyright

fix: .venv/.ready ## Format and apply safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.ready ## Run the benchmarks; each fails below its floor
	$(BIN)/python -m bench.decision
	$(BIN)/python -m bench.writes
	$(BIN)/python -m bench.mcp

docs: .venv/.ready ## Regenerate the reference pages and run every documented example
	$(BIN)/python -m docs.generate
	$(BIN)/python -m pytest tests/docs

lock: $(UV) ## Resolve the dependencies anew (a week behind the newest) into lock/
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --exclude-newer "1 week" --all-extras --group dev \
		--upgrade pyproject.toml -o $(LOCK)
