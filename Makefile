# Every target sets up what it needs by itself; a second run of the set-up takes a fraction of a second and no network.
#
#   make demo [ARGS="--for 60"]   the 20-service mesh, until Ctrl-C
#   make test [ARGS="-k canary"]  all tests, real Envoys included
#   make check                    types, lint, layers, house rules
#   make bench [QUICK=1]          measures, and writes docs/benchmarks.md
#   make docs                     writes the generated documents again
#   make setup                    only the set-up, for development

SHELL := bash
ARGS ?=
BIN := .venv/bin

.PHONY: help demo test check bench docs setup
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@scripts/setup dev

demo:
	@scripts/setup run
	@scripts/demo $(ARGS)

test:
	@scripts/setup dev
	@scripts/test $(ARGS)

check:
	@scripts/setup dev
	$(BIN)/ruff check .
	$(BIN)/mypy src/byway tests scripts bench
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit/tidy

bench:
	@scripts/setup dev
	@scripts/as-root $(BIN)/python -m bench $(if $(QUICK),--quick) $(ARGS)

docs:
	@scripts/setup dev
	@$(BIN)/python -m scripts.docs
