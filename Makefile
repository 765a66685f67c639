# `make paper` and `make test` set everything up by themselves; `make help` lists the rest.
PROFILE ?= laptop
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# glibc then keeps the memory of large tensors instead of giving it back after every operation: 5-9% of a training on a CPU.
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := 4294967296
export MALLOC_TOP_PAD_ := 268435456

.PHONY: paper test lab setup clean help

paper: $(READY)  ## regenerate tables and figures (PROFILE=smoke|laptop|gpu|paper)
	$(PY) -m p3mlib notebooks --profile $(PROFILE)

test: $(READY)  ## unit tests, every notebook in profile smoke, nbval
	$(PY) -m pytest

lab: $(READY)  ## open JupyterLab on the notebooks
	$(VENV)/bin/jupyter lab notebooks

setup: $(READY)  ## only create the environment

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed; point to one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "This Python lacks the venv module; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --progress-bar off -r requirements.txt
	$(PY) -m pip install --quiet --no-deps --editable .
	@touch $@

clean:  ## delete executed notebooks and temporary output; runs and data stay
	rm -rf build

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'
