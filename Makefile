# What one does with a working copy. `make` alone lists it.

# The first interpreter that is new enough; `make PYTHON=... run` decides otherwise.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$name; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
RUNTIME := $(VENV)/.installed-runtime
DEVELOPMENT := $(VENV)/.installed-development
EMBEDDINGS := $(VENV)/.installed-embeddings
# For example: make test PYTEST_ARGS="-k lifecycle -x"
PYTEST_ARGS ?= -n auto --dist worksteal
BENCH_ARGS ?=
CRASH_ARGS ?=
# How many requests of each operation, beside those at the bounds of what is described.
SCHEMATHESIS_EXAMPLES ?= 6

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-deep test-crash test-schema bench bench-ledger bench-soak lint types format clean install install-dev \
	install-embeddings

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUNTIME) ## start the platform on http://127.0.0.1:8000 (HOST and PORT override)
	@$(BIN)/python manage.py run_platform

test: $(DEVELOPMENT) ## run the whole suite against the embedded database
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-deep: $(DEVELOPMENT) ## try all examples of the tests whose examples are dear; `test` tries a part
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest -m properties $(PYTEST_ARGS)

# On a PostgreSQL of its own, which it kills.
test-crash: $(DEVELOPMENT) ## kill processes, PostgreSQL and Redis at every point, and prove that nothing is lost
	DATABASE_URL= AGENTPLATFORM_DATA_DIR=$(CURDIR)/var/crash $(BIN)/python -m pytest tests/crash -m crash $(CRASH_ARGS)

test-schema: $(DEVELOPMENT) ## ask all operations all that the API's description allows, and more, and hold the answers against it
	SCHEMATHESIS_EXAMPLES=$(SCHEMATHESIS_EXAMPLES) $(BIN)/python -m pytest $(PYTEST_ARGS) tests/platform/test_schemathesis.py

bench: $(DEVELOPMENT) ## measure the real server and worker, and print one table
	@$(BIN)/python -m bench $(BENCH_ARGS)

bench-ledger: $(DEVELOPMENT) ## measure the queries of usage at ten million calls
	@$(BIN)/python -m bench.ledger $(BENCH_ARGS)

bench-soak: $(DEVELOPMENT) ## keep a steady load for a quarter of an hour, and see whether anything grows
	@$(BIN)/python -m bench.soak $(BENCH_ARGS)

lint: $(DEVELOPMENT) ## check style, formatting and the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(DEVELOPMENT) ## check types
	DEBUG=true $(BIN)/mypy

format: $(DEVELOPMENT) ## format the code and mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and caches; var/ and its data stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

install: $(RUNTIME) ## make the environment that `run` needs

install-embeddings: $(EMBEDDINGS) ## add the extra for embeddings on this machine (about 180 MB)

install-dev: $(DEVELOPMENT) ## make the environment that tests and checks need

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11 or newer is needed; name it with make PYTHON=/path/to/python3 ..." >&2; exit 1; fi
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) -m venv failed. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# uv installs in seconds what takes pip minutes. It is asked twice: with the certificates that it brings, and, behind
# proxies with their own, with the system's. The lists are complete, so pip needs to resolve nothing either. Compiled at
# once, on all processors: the first start does not have to, nor does every one where Python may write no bytecode.
define install_packages
	@echo "Installing $(1) ..."
	@{ test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); } \
		&& { $(call uv_install,$(1)) 2>/dev/null || $(call uv_install,$(1)) --system-certs; } \
		|| { echo "uv cannot be used here; installing with pip, which takes a few minutes ..."; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(foreach file,$(1),-r $(file)); }
	@touch $@
endef
uv_install = $(BIN)/uv pip install --quiet --no-deps --compile-bytecode --python $(BIN)/python $(foreach file,$(1),-r $(file))

$(RUNTIME): requirements.txt | $(BIN)/python
	$(call install_packages,requirements.txt)

$(DEVELOPMENT): requirements-dev.txt requirements-observability.txt $(RUNTIME) | $(BIN)/python
	$(call install_packages,requirements.txt requirements-dev.txt)

# Without what its package names: PyTorch, which the platform does not use.
$(EMBEDDINGS): requirements-embeddings.txt | $(BIN)/python
	$(call install_packages,requirements-embeddings.txt)
