# Each target sets up what it needs below .venv/ and build/, which 'make clean' removes.

# What root makes in the clone of another user belongs to that user, who can then run make too. Below build/trees are whole
# systems, with users of their own. 'make run' is stopped by signals, so nothing may come between; it writes only .venv/.
OWNED = find . -path ./build/trees -prune -o -user root -exec chown --no-dereference --reference=. {} +
FOR_ANOTHER := $(shell [ "$(MAKELEVEL)$$(id -u)" = 00 ] && [ "$$(stat -c %u .)" != 0 ] && echo yes)
GOALS := $(or $(MAKECMDGOALS),help)

ifeq ($(FOR_ANOTHER)$(filter run,$(GOALS)),yes)
.PHONY: $(GOALS)
$(firstword $(GOALS)):
	+@trap : INT TERM; $(MAKE) --no-print-directory $(GOALS); status=$$?; $(OWNED); exit $$status
$(wordlist 2,$(words $(GOALS)),$(GOALS)): $(firstword $(GOALS)) ; @:
else

ifeq ($(FOR_ANOTHER),yes)
export PYTHONDONTWRITEBYTECODE = 1
endif

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUNNABLE := $(VENV)/.runnable
PAGES := genvd/web/docs
NO_PYTHON = echo 'Missing: $(PYTHON). To have all that is needed: apt install python3 python3-venv gcc libc6-dev' >&2; exit 1
# Tests wait more than they compute: more processes than cores.
JOBS ?= 4

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# What a target needs of the machine is checked before its virtual environment is made, all of it at once.
$(READY): pyproject.toml | usable
	@echo "Making .venv for $$($(PYTHON) --version), with the libraries for running, testing and developing: some minutes, once" >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,fuzz]'
	@touch $@

.PHONY: usable
usable:
	@command -v $(PYTHON) >/dev/null || { $(NO_PYTHON); }
	@$(PYTHON) tests/preflight.py --for '$(MAKECMDGOALS)'

# Only what the monitor and the pages of its documents need, so that it runs after seconds.
$(RUNNABLE): pyproject.toml | usable
	@[ $(READY) -nt pyproject.toml ] || { echo "Making .venv for $$($(PYTHON) --version), with the libraries of the monitor: less than a minute, once" >&2; \
	  $(PYTHON) -m venv --clear $(VENV) && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[auth]' 'hatchling>=1.12' 'markdown-it-py>=2.1'; }
	@[ -d $(PAGES) ] || [ ! -w genvd/web ] || $(BIN)/python -m tools.documents
	@touch $@ 2>/dev/null || :
	@[ -z '$(FOR_ANOTHER)' ] || $(OWNED)

.PHONY: run
run: $(RUNNABLE) ## Run the monitor on this machine (ARGS='--demo' for a simulated one)
	@echo 'Starting genv-monitor $(ARGS)' >&2
	@$(BIN)/genv-monitor $(ARGS)

.PHONY: missing
missing: ## List what the tests need and this machine lacks, what for, and how to install it
	@command -v $(PYTHON) >/dev/null || { $(NO_PYTHON); }
	@$(PYTHON) tests/preflight.py

.PHONY: test
test: missing lint docs-check ## Check style, types, imports and documents, and run all tests that the current user may run
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadgroup $(ARGS)

.PHONY: docs-check
docs-check: $(READY) ## Check that the documents and the generated files match the code
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadgroup tests/docs

.PHONY: test-python
test-python: missing $(READY) ## Run unit and integration tests with the libraries of each release, and the newest on each Python
	$(BIN)/python -m tests.pythons --numprocesses=$(JOBS) --dist=loadgroup $(ARGS)

.PHONY: load
load: $(READY) ## Run 200 scrapers next to 2,000 bad connections (ARGS='--seconds 600' for longer)
	$(BIN)/python -m tests.load $(ARGS)

.PHONY: lint
lint: $(READY) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools.imports

.PHONY: format
format: $(READY) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: generate
generate: $(READY) ## Generate dashboards, metrics and configuration reference, sample configuration, JSON Schema
	$(BIN)/python -m tools.dashboards
	$(BIN)/python -m tools.reference

.PHONY: documents
documents: $(READY) ## Convert the documents to web pages, again after they have changed
	$(BIN)/python -m tools.documents

.PHONY: links
links: $(READY) ## Check all links of the documents, to other sites too
	$(BIN)/python -m tools.links

.PHONY: fuzz
fuzz: $(READY) ## Fuzz the parsers (SECONDS=60 each)
	$(BIN)/python -m tools.fuzz --seconds $(or $(SECONDS),60)

.PHONY: soak
soak: $(READY) ## Run many ticks and check that the monitor does not grow (TICKS=100000)
	$(BIN)/python -m tools.soak --ticks $(or $(TICKS),100000)

.PHONY: bench
bench: $(READY) ## Measure CPU, memory and latency next to other exporters (ARGS=--quick, ARGS=--write for the documents)
	@$(BIN)/python -m tests.benchmarks $(ARGS)

.PHONY: screenshots
screenshots: $(READY) ## Take the screenshots of the page and of the terminal (needs chromium)
	$(BIN)/python -m tools.screenshots

.PHONY: draw
draw: $(READY) ## Draw the home dashboard from real query results (needs chromium; ARGS='--minutes 5' for less data)
	$(BIN)/python -m tools.drawing $(ARGS)

.PHONY: fleet
fleet: $(READY) ## Measure a Prometheus that scrapes 1,000 simulated machines (ARGS='--machines 100 --interval 15')
	$(BIN)/python -m tools.fleet $(ARGS)

.PHONY: engines
engines: $(READY) ## Compare Prometheus with VictoriaMetrics and federation on all rules and dashboards (ARGS='--machines 50')
	$(BIN)/python -m tools.engines $(ARGS)

.PHONY: deb
deb: ## Build the Debian package into dist/ (as root, installs the build dependencies)
	@packaging/build-deb

.PHONY: clean
clean: ## Remove everything that make has created
	rm -rf $(VENV) $(PAGES) build dist .mypy_cache .pytest_cache .ruff_cache

endif
