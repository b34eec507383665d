# Everything a developer, or CI, runs.  `make` alone says what there is.

PY      ?= python3
# Most tests wait for a broker, so there are more processes than a small machine has cores.
WORKERS ?= 3
ARGS    ?=
# Options for the bench of other frameworks.
PEERS   ?=
# Of the tests in `make chaos` that want many seeds, each has so many; with six they have each way to run handlers in each protocol.
SEEDS   ?= 3

BIN       := .venv/bin
INSTALLED := .venv/.installed
CODE      := $(wildcard streams tests examples benchmarks)
PYTEST    := $(BIN)/pytest -n $(WORKERS) --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help install demo lint types floors test check bench bench-gate bench-growth bench-peers chaos soak fuzz model format lock upgrade clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(INSTALLED) ## Make .venv from the hashed requirements (PY=python3.12 picks the interpreter)

$(BIN)/python:
	@command -v $(PY) >/dev/null || { echo "$(PY) is not on the PATH: install Python 3.11, 3.12 or 3.13, or name one: make install PY=python3.12" >&2; exit 1; }
	@$(PY) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "$(PY) is $$($(PY) -V 2>&1), and streams needs 3.11, 3.12 or 3.13: name one: make install PY=python3.12" >&2; exit 1; }
	@$(PY) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PY) can't make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	$(PY) -m venv .venv

# Runs again only when the lock or the project file changed.
$(INSTALLED): requirements/dev.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## Real flights through a real Kafka: kills, retries, dead letters, and the count (ARGS=--full)
	$(BIN)/python -m examples.demo $(ARGS)

test: install ## Run the tests (ARGS="-k order", WORKERS=0 for one process)
	$(PYTEST) $(ARGS)

lint: install ## Rules and form
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install ## Types, strict
	$(BIN)/mypy $(CODE)

floors: install ## Which room may import which
	$(BIN)/lint-imports

check: lint types floors test ## What CI runs: lint, types, floors, tests (make -k check goes on past a failure)

bench: install ## Throughput beside a bare client loop and beside other frameworks, on a real Kafka (ARGS=--full: every condition)
	$(BIN)/streams bench $(ARGS)
	$(BIN)/python -m benchmarks.peers $(PEERS)

bench-peers: install ## The other frameworks alone, with what each one keeps (PEERS="--only aiokafka")
	$(BIN)/python -m benchmarks.peers $(PEERS)

bench-growth: install ## How cost grows with partitions, keys, bytes, members and more (ARGS="--only keys,headers")
	$(BIN)/python -m benchmarks.growth $(ARGS)

bench-gate: install ## Is the engine as cheap as it was?  CPU ratios beside those that are kept (ARGS=--keep: keep today's)
	$(BIN)/python -m benchmarks.gate $(ARGS)

# Where all chance comes from: a number of this run, or of an earlier one.
chaos: SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))
chaos: install ## Everything that breaks things on purpose, about 40 minutes (SEED=7: as it was with 7; SEEDS=20: longer)
	@echo "SEED=$(SEED)"
	@STREAMS_CHAOS_SEED=$(SEED) STREAMS_CHAOS_SEEDS=$(SEEDS) STREAMS_CHAOS_FIGURES=build/chaos-$(SEED).jsonl \
	$(PYTEST) -p tests.faults.plugin -m chaos --timeout 0 $(ARGS)

soak: install ## All faults now and then for half an hour: does what members take stay level?
	$(BIN)/streams verify examples.orders:app --soak 30 --faults all $(ARGS)

fuzz: install ## A million damaged headers, ledgers, events, settings and commands (ARGS="--help" tells more)
	$(BIN)/python -m tests.fuzz $(ARGS)

model: install ## Every state of a partition's owners, within larger bounds than `make test` has; half an hour or more
	$(BIN)/pytest -m model --timeout 0 -s $(ARGS) tests/model

format: install ## Put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# One lock for Python 3.11 to 3.13, Linux and macOS; it names no registry.  The locking tool lives in a throwaway place.
LOCK = "$$tmp/bin/uv" pip compile pyproject.toml --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(1)

lock: ## Write requirements/*.txt anew for what pyproject.toml asks; pins that still fit stay
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(PY) -m venv "$$tmp" && "$$tmp/bin/pip" install --quiet uv \
	&& $(call LOCK,$(UPGRADE) -o requirements/runtime.txt) \
	&& $(call LOCK,$(UPGRADE) --all-extras --group test -c requirements/runtime.txt -o requirements/dev.txt) \
	&& echo "requirements/runtime.txt and requirements/dev.txt are up to date"

upgrade: ## As lock, with every pin at its newest
	@$(MAKE) --no-print-directory lock UPGRADE=--upgrade

clean: ## Remove .venv and what the tools left
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
