# `make run` and `make test` are all a newcomer needs; `make help` lists the rest.

# The first Python of 3.11 or newer; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
PORT ?= 8000
DEMO ?= 1
PROFILE ?= full
BIN := .venv/bin
# Options of pytest, for instance ARGS="elections -k tally".
ARGS ?=
# Processes that run the tests: one for each core.
WORKERS ?= auto
export PORT DEMO
# A dozen processes start at once; without compiled modules each would compile them for itself.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

install:  ## Make .venv and node_modules, or bring them up to date
	@test -n "$(PYTHON)" || { echo "Psephos needs Python 3.11 or newer; none was found on PATH (PYTHON=… names one)."; exit 1; }
	@"$(PYTHON)" deploy/local/install.py

run: install  ## Start everything in the foreground (PORT=8000, DEMO=0 leaves the demo out)
	@$(BIN)/python -m deploy.local.run

reset:  ## Forget the data of `make run`
	@if test -x $(BIN)/python; then $(BIN)/python -m deploy.local.reset; else rm -rf .local; fi

test: install  ## Run the whole suite against services of its own
	@$(BIN)/pytest -n $(WORKERS) $(ARGS)

test-fast: install  ## Run what takes no seconds of its own
	@$(BIN)/pytest -n $(WORKERS) -m "not slow" $(ARGS)

lint: install  ## Check format, lint, types, layers, migrations, API schema, contracts, production settings
	@$(BIN)/python -m deploy.local.lint

format: install  ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

requirements:  ## Compile requirements/*.in into pinned, hashed *.txt
	cd requirements && for name in base dev; do \
	  ../$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header $$name.in -o $$name.txt; done

contracts:  ## Compile the contracts and write their artifacts
	@node chain/contracts/compile.mjs

schema:  ## Write the OpenAPI schema again
	@$(BIN)/python manage.py spectacular --file docs/openapi.yaml --validate

bench-audit: install  ## Measure writers beside the sequencer, and the verification of the audit log
	@$(BIN)/python -W ignore -m loadtest.bench_audit

bench-indexer: install  ## Measure events a second beside a plain web3.py loop, and the lag to a socket
	@$(BIN)/python -W ignore -m loadtest.bench_indexer

bench-sockets: install  ## Measure 2,000 WebSockets: lag to every one, memory for each
	@$(BIN)/python -W ignore -m loadtest.bench_sockets

bench-auth: install  ## Measure what a JWT costs a request, by kind of key and of credentials
	@$(BIN)/python -W ignore -m loadtest.bench_auth

.PHONY: graphql-types graphql-coverage bench-graphql
graphql-types: install  ## Write docs/schema.graphql and its types for Python and TypeScript again
	@$(BIN)/python -m config.graphql.write_types

graphql-coverage: install  ## Measure what the tests cover of the GraphQL resolvers; 90 % at least
	@$(BIN)/pytest $(addprefix config/tests/graphql/test_,audit.py census.py elections.py jobs.py keys.py users.py) -q --cov --cov-report=term --cov-fail-under=90

bench-graphql: install  ## Measure GraphQL's 50-election query against the REST list
	@$(BIN)/python -W ignore -m loadtest.bench_graphql

bench-limits: install  ## Measure what the limiter costs, and count what it lets through
	@$(BIN)/python -W ignore -m loadtest.bench_limits

bench-zk: install  ## Measure proofs a minute beside snarkjs, with 1 to 4 workers
	@$(BIN)/python -W ignore -m loadtest.bench_zk

bench-census: install  ## Measure a census of 100,000 members, and its proofs
	@$(BIN)/python -W ignore -m loadtest.bench_census

bench-http: install  ## Measure HTTP: servers, Psephos with and without its parts, by number of elections
	@$(BIN)/python -W ignore -m loadtest.bench_http

profile-request: install  ## Show where the time of one hot read goes, layer by layer
	@LOG_LEVEL=CRITICAL $(BIN)/python -W ignore -m loadtest.profile_request

loadtest: install  ## Run the load test and hold it to loadtest/budgets.toml (PROFILE=ci, full or soak)
	@$(BIN)/python -W ignore -m loadtest.run $(PROFILE)

.PHONY: bench-audit bench-sockets bench-http profile-request loadtest bench-zk bench-census bench-auth bench-indexer bench-limits help install run reset test test-fast lint format requirements contracts schema
