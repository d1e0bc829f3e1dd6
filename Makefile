# Every target is one step that a person would type. `make help` lists them.
PYTHON ?= python3
ifneq (,$(wildcard .env))
include .env
export $(shell sed -n 's/^\([A-Z_]*\)=.*/\1/p' .env)
endif
BIN := .venv/bin
# Torch comes as a CPU build: from a folder of wheels where PIP_FIND_LINKS names one, else from PyTorch's own index.
TORCH := $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--torch-backend cpu)
MODEL := var/models/SmolLM2-135M-Instruct
COMPOSE := docker compose -f docker-compose.yml $(if $(CPU),-f compose.cpu.yml)
EXTRAS := teacher,student,retriever,trainer,evaluator,hub,local,dev
.DEFAULT_GOAL := help
.PHONY: help install doctor demo up down compose-up compose-down results test-compose test unit check lint types imports lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/installed ## Create .venv with everything the embedded stack and the tests need

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "askback needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode $(TORCH) -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

doctor: install ## Look at engine, GPU, disks, ports, keys and services, and say what to do
	$(BIN)/askback doctor

demo: install ## Run the whole loop on the sample: real engine, real training, report and slides (about 10 minutes)
	$(BIN)/askback run configs/demo.toml

results: install ## Run the StrategyQA study, three rounds to their reports, from DATA=DIR (recipes/strategyqa-smollm2)
	recipes/strategyqa-smollm2/run.sh

up: install ## Start the services on this machine and leave them running
	$(BIN)/askback up

down: install ## Stop them
	$(BIN)/askback down

compose-up: ## Build and start the services in containers, with an NVIDIA card; without one: make compose-up CPU=1
	$(COMPOSE) up -d --build --wait

compose-down: ## Stop the containers; their volumes stay
	$(COMPOSE) --profile '*' down

test-compose: install ## Build the CPU stack in containers, run a loop through it, kill, swap and restart everything, take it down
	$(BIN)/pytest -v -m compose tests/compose

$(MODEL): | install
	HF_HUB_OFFLINE=1 $(BIN)/python -m services.student.embedded_model $@

test: check $(MODEL) ## Lint, types, import rules, unit and integration tests with real engines
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not e2e"
	$(BIN)/pytest -q -m e2e

unit: install $(MODEL) ## Unit tests only
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not e2e"

check: lint types imports ## Everything that reads the code without running it

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

lock: install ## Resolve constraints.txt anew
	$(BIN)/uv pip compile --quiet --all-extras $(TORCH) --no-annotate --no-header --no-emit-find-links pyproject.toml | sed 's/+cpu$$//' > constraints.txt

clean: ## Remove caches (runs/ and var/ stay)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
