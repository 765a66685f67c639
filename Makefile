# `make paper` and `make test` set everything up by themselves; `make help` lists the rest.
PROFILE ?= laptop
PYTHON ?= python3
# TORCH=cpu leaves 3 GB of CUDA libraries out; TORCH_INDEX says in pip's own words where torch's CPU wheels are: --index-url URL.
TORCH ?= pypi
TORCH_INDEX ?=
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
PIP := $(PY) -m pip
QUIET := --quiet --progress-bar off
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# glibc then keeps the memory of large tensors instead of giving it back after every operation: 5-9% of a training on a CPU.
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TRIM_THRESHOLD_ := 4294967296
export MALLOC_TOP_PAD_ := 268435456

.PHONY: paper test test-lab slides places fuzz faults format lab setup lock clean help

paper: $(READY)  ## regenerate tables and figures (PROFILE=smoke|laptop|gpu|paper)
	$(PY) -m p3mlib notebooks --profile $(PROFILE)

test: $(READY)  ## ruff, unit tests, every notebook in profile smoke, nbval
	$(VENV)/bin/ruff check --quiet
	$(VENV)/bin/ruff format --check --quiet
	$(PY) -m pytest --numprocesses 2 --dist worksteal --durations 20

test-lab: $(READY)  ## notebooks and explorers in JupyterLab, through Chromium (apt install chromium); installs playwright
	$(PIP) install $(QUIET) playwright==1.65.2
	$(PY) -m pytest -s --confcutdir tests/lab tests/lab/check_lab.py

fuzz: $(READY)  ## a thousand made-up files through anonymize, audit, predict and verify (FIRST and COUNT choose others)
	$(PY) tests/fuzz.py --first $(or $(FIRST),0) --count $(or $(COUNT),1000)

faults: $(READY)  ## kill, fill disks, flip bits and jump clocks for SECONDS (1800) of small trainings; nothing may be lost
	$(PY) tests/faults.py --seconds $(or $(SECONDS),1800) --seed $(or $(SEED),0)

format: $(READY)  ## put code and notebooks into ruff's form, take outputs out of notebooks
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format
	$(VENV)/bin/nbstripout --keep-id notebooks/*.ipynb

lab: $(READY)  ## open JupyterLab on the notebooks
	$(VENV)/bin/jupyter lab notebooks

places: $(READY)  ## pictures without people for PROFILE=photo, from packages of Debian into data/places
	$(PY) examples/places.py data/places

slides: $(READY)  ## slides of notebooks 00, 01, 06, 10 from their executed copies (REVEAL=folder or address of reveal.js)
	$(PY) -m p3mlib slides --profile $(PROFILE) $(if $(REVEAL),--reveal $(REVEAL))

setup: $(READY)  ## only create the environment

lock: build/uv/bin/uv  ## write requirements.lock anew after a change to requirements.txt (newest of all: delete it first)
	$< pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	  --custom-compile-command 'make lock' requirements.txt --output-file requirements.lock

build/uv/bin/uv:
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install $(QUIET) uv==0.13.9

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed; point to one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "This Python lacks the venv module; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@case "$(TORCH):$(TORCH_INDEX)" in pypi:*|cpu:?*) ;; \
	  cpu:) echo "TORCH=cpu needs the index of torch's CPU wheels, as pytorch.org names it: make TORCH=cpu TORCH_INDEX='--index-url URL'"; exit 1;; \
	  *) echo "TORCH=$(TORCH): pypi or cpu"; exit 1;; esac
	$(PYTHON) -m venv $(VENV)
	@$(PIP) uninstall -qq --yes opencv-python  # of an older set-up: its files are those of opencv-python-headless
	@# in parts, so that wheels of one are deleted before those of the next are fetched: 6.7 GB of disk at most instead of 8.8
	awk '/^[a-z]/ { part = /^(nvidia|cuda)-/ ? "cuda" : /^(torch|torchvision|triton)==/ ? "torch" : "rest" } \
	  part { print > "$(VENV)/" part ".lock" }' requirements.lock
ifeq ($(TORCH),cpu)
	$(PIP) install $(QUIET) --no-deps $(TORCH_INDEX) $$(grep -E '^torch(vision)?==' requirements.txt)
else
	$(PIP) install $(QUIET) --no-deps --require-hashes -r $(VENV)/cuda.lock
	$(PIP) install $(QUIET) --no-deps --require-hashes -r $(VENV)/torch.lock
endif
	$(PIP) install $(QUIET) --no-deps --require-hashes -r $(VENV)/rest.lock
	$(PIP) install $(QUIET) --no-deps --no-build-isolation --editable .
	@touch $@

clean:  ## delete executed notebooks and temporary output; runs and data stay
	rm -rf build

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'
