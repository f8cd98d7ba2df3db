# Every target does its own set-up, once: the stamp is older than pyproject.toml or constraints.txt only
# when something has to be installed.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := $(shell command -v uv 2>/dev/null)
# uv does not read pip's variables; what pip was told is passed on.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif

.DEFAULT_GOAL := help
.PHONY: help demo test check teacher-test vllm-test families-test package-test lowest-test setup clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(STAMP) ## a small model gets better from its own mistakes, in minutes, on this machine
	@$(BIN)/errata demo $(ARGS)

test: $(STAMP) ## the whole loop, offline
	@$(BIN)/python -m pytest -q $(ARGS)

check: $(STAMP) ## ruff, mypy --strict, tests
	@$(BIN)/ruff check .
	@$(BIN)/mypy --strict -p errata.agent -p errata.tools -p errata.prompts
	@$(BIN)/python -m pytest -q

teacher-test: $(STAMP) ## the chat teacher against a real vLLM on this CPU; skipped where it cannot be installed
	@$(BIN)/python -m tests.teacher_server $(ARGS)

package-test: $(STAMP) ## build the wheel, use it where one may not write, take it out again
	@$(BIN)/python -m benchmarks.package --quick

FAMILIES := .families-test
vllm-test: $(STAMP) ## a real vLLM on this CPU answers as transformers does, and three planted faults are caught
	@$(BIN)/python -m benchmarks.parity $(ARGS)

families-test: ## every family of students, in an environment with torchvision; several GB, once
	@test -x $(FAMILIES)/bin/python || $(PYTHON) -m venv $(FAMILIES)
	@grep -v '^torch==' constraints.txt > $(FAMILIES)/constraints.txt
	@$(FAMILIES)/bin/python -m pip install -q --disable-pip-version-check -c $(FAMILIES)/constraints.txt \
		torch==2.14.1 torchvision==0.29.1 num2words -e '.[dev]'
	@$(FAMILIES)/bin/python -m pytest -q tests/tools/student $(ARGS)

lowest-test: ## the tests with the lowest versions that pyproject.toml allows (docs/versions.md)
	@test -x .lowest-test/bin/python || $(PYTHON) -m venv .lowest-test
	@.lowest-test/bin/python -m pip install -q --disable-pip-version-check -c constraints-lowest.txt torchvision -e '.[dev]'
	@.lowest-test/bin/python -m pytest -q $(ARGS)

setup: $(STAMP) ## install into .venv and nothing else
	@true

clean: ## remove .venv and caches; runs stay
	rm -rf $(VENV) .teacher-test .families-test .lowest-test build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(STAMP): pyproject.toml setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "errata: no Python 3.11 or later on PATH; install one, or: make PYTHON=/path/to/python" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), once; a few minutes"
ifneq ($(UV),)
	@$(UV) pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'
else
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
endif
	@mkdir -p $(VENV)/link && ln -sfn ../.. $(VENV)/link/errata  # the import name, for mypy
	@touch $@
