# Needs make, a C compiler and CPython >= 3.11 with its headers; the rest is installed into .venv.
# `make demo` shows it, `make check` is the quick loop, `make test` is everything CI asks for.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PIP_INSTALL := $(PIP) install --quiet --constraint requirements/tools.txt
STAGE := @printf '\n== %s\n'

# A worker that died is not replaced: --dist loadfile would give the new one the same test again.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --max-worker-restart 0
# Here browsers, proxies and peers share two cores with the tests, and their time isn't ours: what
# failed gets one more attempt, and the summary lists it as RERUN. `make check` forgives nothing.
AGAIN := --reruns 1 -raR
# An end to whatever stands still between tests, where coreutils are; all tests take ten minutes.
LIMIT := $(if $(shell command -v timeout),timeout --foreground --signal INT --kill-after 60 35m)

.PHONY: help setup build format lint types check test conformance bench bench-quick chaos fuzz asan docs demo clean wpt
# What of `make bench` can be had alone.
PARTS := clients hosts routing topics programs handlers growth many agreement counts publish
.PHONY: bench-install bench-profile $(addprefix bench-,$(PARTS))
.DEFAULT_GOAL := help

help:
	@echo 'setup        .venv with everything that builds, checks and tests'
	@echo 'build        the compiled modules, in place'
	@echo 'format       rewrite the code as ruff formats it'
	@echo 'lint         ruff and cython-lint'
	@echo 'types        mypy --strict, and the stubs against the compiled modules'
	@echo 'check        build, lint, types and the quick tests (about two minutes)'
	@echo 'test         everything: also interop, browser, Autobahn subset, installation'
	@echo 'conformance  all 517 cases of the Autobahn Testsuite, as server and as client, and the two'
	@echo '             front-ends with what they are expected to do otherwise'
	@echo 'wpt          web-platform-tests for WebSocket, from WPT=directory or cloned'
	@echo 'bench        measure everything against peers and publish it; about three hours,'
	@echo '             or BUDGET=28 for the servers in that many minutes'
	@echo 'bench-quick  few scenarios, peers and rounds, in under three minutes'
	@echo 'bench-clients bench-hosts bench-routing bench-topics bench-programs bench-handlers'
	@echo 'bench-growth bench-many bench-agreement bench-counts'
	@echo '             one part of it; bench-publish makes the page, bench-profile explains misses'
	@echo 'chaos        200 converse among hostile peers for SOAK_SECONDS, by default ten minutes;'
	@echo '             then as long workers are killed, stopped and renewed among storms of clients;'
	@echo '             SOAK_SEED says how. First, that planted faults are noticed'
	@echo 'fuzz         each fuzz target for FUZZ_SECONDS, by default 60; Clang makes it see C too'
	@echo 'asan         tests with the compiled modules under AddressSanitizer and UBSan (GCC)'
	@echo 'docs         docs/_build/html, strictly'
	@echo 'demo         build, then serve the demo pages on http://127.0.0.1:8001/'
	@echo 'clean        remove what was built; .venv and .cache stay'

$(BIN)/python:
	"$$(tools/find_python.sh)" -m venv $(VENV)

# What a build needs, and the package itself in development mode.
$(VENV)/.installed: pyproject.toml setup.py requirements/tools.txt | $(BIN)/python
	$(PIP_INSTALL) --upgrade pip setuptools Cython
	$(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

# What checks and tests need.
$(VENV)/.tools: pyproject.toml requirements/tools.txt $(VENV)/.installed
	$(PIP_INSTALL) --group build --group lint --group test --group docs
	@touch $@

setup: $(VENV)/.tools

build: $(VENV)/.installed
	$(BIN)/python setup.py --quiet build_ext --inplace

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup
	$(STAGE) lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint src

types: setup build
	$(STAGE) types
	$(BIN)/mypy
	$(BIN)/python tools/check_stubs.py

check: setup build lint types
	$(STAGE) 'quick tests'
	$(PYTEST) -m 'not slow' tests/unit tests/property tests/behaviour tests/meta

test: setup build
	$(STAGE) 'system tools'
	tools/system_tools.sh
	tools/install_peers.sh
	$(BIN)/python conformance/install_autobahn.py
	@$(MAKE) --no-print-directory lint types
	$(STAGE) tests
	@$(BIN)/python tools/import_time.py
	$(LIMIT) $(PYTEST) $(AGAIN) tests

conformance: setup build
	$(BIN)/python conformance/install_autobahn.py
	$(BIN)/python -m conformance.run_autobahn
	$(BIN)/python -m conformance.run_autobahn --front-end pywebsocket
	$(BIN)/python -m conformance.run_autobahn --front-end websocketd

wpt: setup build
	$(PIP_INSTALL) --group wpt
	$(BIN)/python -m conformance.run_wpt $(if $(WPT),--tests '$(WPT)',--clone)

# Every part keeps what it has measured in .cache/bench/parts, and bench-publish makes a page of
# them: a part may be repeated alone. They must not run at the same time.
BENCH := $(BIN)/python bench

bench-install: setup build
	bench/install.sh $(BIN)/python

bench: bench-install
	$(BENCH)/run.py $(if $(BUDGET),--budget $(BUDGET))
	$(BENCH)/clients.py $(if $(BUDGET),--seconds 0.3)
	$(BENCH)/hosts.py $(if $(BUDGET),--seconds 0.4)
	$(BENCH)/routing.py
	$(BENCH)/topics.py
	$(BENCH)/programs.py
	$(BENCH)/handlers.py
	$(BENCH)/growth.py $(if $(BUDGET),--seconds 0.3)
	$(BENCH)/many.py
	-$(BENCH)/agreement.py
	$(BENCH)/counts.py
	$(BENCH)/publish.py

bench-quick: bench-install
	$(BENCH)/run.py --quick

$(addprefix bench-,$(PARTS)): bench-%: bench-install
	$(BENCH)/$*.py

bench-profile: bench-install
	$(BENCH)/profiling.py --missed

chaos: setup build
	$(STAGE) 'planted faults, which must be noticed'
	for fault in lost doubled reordered; do \
	$(BIN)/python -m chaos.crew --plant $$fault; test $$? = 1 || exit 1; done
	$(STAGE) 'conversations among hostile peers'
	$(BIN)/python -m chaos.soak
	$(STAGE) 'workers under attack'
	$(BIN)/python -m chaos.crew

# Atheris has no wheels for every system and Python, so it is installed only here.
fuzz: setup build
	$(PIP_INSTALL) --group fuzz
	$(BIN)/python -m fuzz.run

asan: setup
	$(BIN)/python -m tools.sanitize

docs: setup build
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo 'docs/_build/html/index.html'

demo: build
	$(BIN)/duologue demo

clean:
	rm -rf build dist docs/_build autobahn-reports .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src -name '*.so' -delete -o -name '*.pyd' -delete
	find src tests bench conformance tools examples fuzz chaos -name __pycache__ -type d -prune -exec rm -rf {} +
