# Every verb of the project. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PARLEY := npm run --silent parley --
BUF := npx --yes --package=@bufbuild/buf@1.75.0 --package=@bufbuild/protoc-gen-es@2.17.0 buf
SEEDS ?= 20000
NATS_NODES ?= 1
SYNC ?= default

.PHONY: help run servers cluster test simulate faults bench gen lint verify fix clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The marker is newer than what asks for packages: nothing to install.
node_modules/.installed: package.json package-lock.json
	@echo "installing packages (once, about 15 s)…"
	@npm install --no-audit --no-fund --loglevel=error
	@touch $@

run: node_modules/.installed ## everything in one process; PARLEY_EDGE_PORT=8080, PARLEY_DATA_DIR=./data
	@exec $(PARLEY) run

servers: node_modules/.installed ## Consul, NATS, Cassandra, PostgreSQL on this machine until Ctrl-C
	@exec $(PARLEY) servers

cluster: node_modules/.installed ## those and two of each role; NATS_NODES=3 SYNC=always as in production
	@PARLEY_CLUSTER_NATS_NODES=$(NATS_NODES) PARLEY_CLUSTER_NATS_SYNC=$(SYNC) exec $(PARLEY) cluster

test: verify ## every check and every test, from install to end to end
	@npm run --silent test

simulate: node_modules/.installed ## the seeded simulation; SEEDS=20000, SEED=n for one
	@npm run --silent simulate -- --seeds $(SEEDS) $(if $(SEED),--seed $(SEED))

faults: node_modules/.installed ## every fault on a cluster of three NATS nodes (about half an hour)
	@npm run --silent faults

bench: node_modules/.installed ## measure; results in bench/results
	@npm run --silent bench

gen: node_modules/.installed ## generate gen/ and what docs/ has of generated documents
	@$(BUF) generate
	@$(BUF) build --output - | npm run --silent docs

lint: node_modules/.installed ## contracts, style and types
	@$(BUF) lint
	@$(BUF) format --diff --exit-code
	@npm run --silent lint
	@npm run --silent typecheck

verify: lint ## lint, and generated files are up to date
	@scripts/check-generated

fix: node_modules/.installed ## repair what can be repaired by itself
	@$(BUF) format --write
	@npm run --silent fix

clean: ## remove what was installed and built (not data/)
	@rm -rf node_modules dist
