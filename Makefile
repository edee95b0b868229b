# `make help` lists the targets. Needs make and Python 3.11 or newer; everything else goes into .venv.
# Another interpreter: make PYTHON3=/path/to/python3.12 ...

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
CANDIDATES := $(PYTHON3) python3 python3.11 python3.12 python3.13 python3.14 python3.15 python

SEEDS ?= 300
STORM_SEEDS ?= 15
JOBS ?= 2
LOAD_SECONDS ?= 15
STREAMS := --clients 2 --threads 8 --pendings 15
WORKLOAD := --causal-percent 50 --write-percent 10 --causal-write-percent 10 --value-bytes 100 --key-space 1000000 --zipf 0.9
REPEATS ?= 3
EXPERIMENTS ?= figures parallelism
EXPERIMENT_SECONDS ?= 2

# The stamp holds the folder it was made in: an environment that was moved, or whose interpreter is gone, is made anew.
ifneq ($(shell $(PYTHON) -c 'print(open("$(STAMP)").read().strip())' 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

.PHONY: help demo test prove lint types bench experiments coverage format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP) ## three durable replicas under load for about 15 s, live, the history checked; report in demo-report/
	@mkdir -p demo-report
	$(PYTHON) -m triskele load --local 3 --durability disk --seconds $(LOAD_SECONDS) $(STREAMS) $(WORKLOAD) \
		--check --check-operations 300000 \
		--json demo-report/report.json --html demo-report/report.html

test: $(STAMP) ## what CI runs: lint, types, layers, tests, a smoke run with real processes
	@$(PYTHON) tools/check.py

prove: $(STAMP) ## the simulator by seed (SEEDS=300 JOBS=2), worlds for recovery, wrong clocks, failing disks, sessions that end, silent clients, handovers, hearsay, tiny limits, churn, upheavals, amnesia, rapids and bit rot, small scopes, planted bugs
	$(PYTHON) -m tests.sim --seeds $(SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted storm --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted outage --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted schism --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted skew --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted estrangement --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted partings --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted lapse --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted succession --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted hearsay --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted straits --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted churn --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted upheaval --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted amnesia --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted rapids --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.sim --planted rot --seeds $(STORM_SEEDS) --jobs $(JOBS)
	$(PYTHON) -m tests.scopes --jobs $(JOBS)
	$(PYTHON) -m pytest -q tests/sim/test_planted.py tests/sim/test_shrink.py tests/scopes/test_scopes.py tests/chaos/test_soak.py tests/chaos/test_kills.py tests/chaos/test_wan.py tests/triskele/chaos/test_run.py

lint: $(STAMP) ## style: ruff check and ruff format
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: $(STAMP) ## types: mypy, strict
	$(PYTHON) -m mypy

bench: $(STAMP) ## the store beside the wire floor and the codec floor; results in bench-report/
	@mkdir -p bench-report
	$(PYTHON) -m loadgen.bench --json bench-report/bench.json

experiments: $(STAMP) ## sweeps: EXPERIMENTS="figures parallelism" EXPERIMENT_SECONDS=2 (empty: each file's) REPEATS=3; experiments-report/
	@mkdir -p experiments-report; status=0; for name in $(EXPERIMENTS); do \
		rm -rf "experiments-report/$$name"; \
		$(PYTHON) -m triskele sweep "$$name" --output "experiments-report/$$name" --repeats $(REPEATS) \
			$(if $(EXPERIMENT_SECONDS),--seconds $(EXPERIMENT_SECONDS)) || { status=$$?; [ $$status -lt 128 ] || break; }; \
	done; exit $$status

coverage: $(STAMP) ## branch coverage of all packages, as HTML in htmlcov/
	$(PYTHON) -m coverage run -m pytest -q
	$(PYTHON) -m coverage html
	$(PYTHON) -m coverage report

format: $(STAMP) ## let ruff format and mend what it can
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean: ## remove the environment, caches and reports
	rm -rf $(VENV) build dist demo-report bench-report experiments-report mutants-report htmlcov .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@python=""; for candidate in $(CANDIDATES); do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "make: no Python 3.11 or newer found (tried: $(strip $(CANDIDATES))); install one, or name it: make PYTHON3=/path/to/python" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
		echo "make: $$python lacks the modules venv and ensurepip; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "make: $$("$$python" -c 'import sys; print(sys.version.split()[0], sys.executable)') -> $(VENV)"; \
	if ! [ "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" ] || ! $(PYTHON) -c '' 2>/dev/null; then "$$python" -m venv --clear $(VENV); fi
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt hatchling
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[load,dev]'
	@echo '$(CURDIR)' > $(STAMP)
