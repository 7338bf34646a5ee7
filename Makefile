# `make` prints this help. Everything runs in .venv, built once from requirements.lock.

PYTHON    ?= python3
PROFILE   ?= quick
PARAMS    ?=
NOTEBOOKS ?=
DEVICE    ?=
PORT      ?= 8000
CPU       ?=
UV        ?= uv

VENV  := .venv
READY := $(VENV)/ready
RUN   := $(VENV)/bin/python -m gonlib
# How an older processor rounds, in PyTorch, oneDNN, MKL and the OpenBLAS of NumPy and SciPy.
CPU_avx2  := ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 MKL_CBWR=AVX2 OPENBLAS_CORETYPE=Haswell
CPU_sse41 := ATEN_CPU_CAPABILITY=default DNNL_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE OPENBLAS_CORETYPE=Prescott
AS_CPU = $(if $(CPU),$(or $(CPU_$(CPU)),$(error there is no CPU=$(CPU): avx2 or sse41)))

# What was typed goes to Python as it is: make expands nothing in it, and no shell reads it.
unexport PROFILE PARAMS NOTEBOOKS DEVICE PORT
export GONLIB_MAKE_PROFILE   := $(value PROFILE)
export GONLIB_MAKE_PARAMS    := $(value PARAMS)
export GONLIB_MAKE_NOTEBOOKS := $(value NOTEBOOKS)
export GONLIB_MAKE_DEVICE    := $(value DEVICE)
export GONLIB_MAKE_PORT      := $(value PORT)
BOOK  := $(RUN) book --from-make

# The reader's settings of Python and pip stay out of .venv; where pip finds packages (PIP_INDEX_URL, PIP_PROXY) may be set.
unexport PYTHONPATH PYTHONHOME PYTHONWARNINGS PYTHONDONTWRITEBYTECODE PIP_TARGET PIP_PREFIX PIP_ROOT
export PIP_USER := 0

.PHONY: help reproduce check lint fast-tests test book serve bench lock clean

help:
	@echo 'make reproduce   train what is missing, execute every notebook, build the book'
	@echo '                   PROFILE=quick          smoke, quick or paper (book/profiles/)'
	@echo '                   PARAMS="-p NAME VALUE"  set a parameter in every notebook that has it'
	@echo '                   NOTEBOOKS="04-table1"  only these; the other pages stay as they were'
	@echo '                   DEVICE=cuda            where to train (default: what the profile says)'
	@echo 'make check       the quick checks: the two that follow, side by side'
	@echo 'make lint        lint, layers, declared imports and types'
	@echo 'make fast-tests  the tests that take less than about half a second each'
	@echo 'make test        the whole test suite'
	@echo '                   CPU=avx2               round as an older processor does: avx2 or sse41'
	@echo 'make book        build the pages only, from the notebooks executed last'
	@echo 'make serve       make book, then show it on http://localhost:8000 (PORT=)'
	@echo 'make bench       measure training, encoding and decoding on this machine'
	@echo 'make lock        pin the newest versions that pyproject.toml allows (needs uv)'
	@echo 'make clean       delete what was built, but keep trained runs (build/store) and .venv'

reproduce: $(READY)
	@$(BOOK)

# Both at once: of the linters only mypy takes time, and that on one core.
check: $(READY)
	@$(MAKE) --no-print-directory --jobs=2 lint fast-tests

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/deptry gonlib
	$(VENV)/bin/mypy

# mypy checks types here; make test checks them, and shapes, at every call (tests/conftest.py).
fast-tests: $(READY)
	GONLIB_UNCHECKED=1 $(VENV)/bin/python -m pytest -n auto --dist loadfile -m "not slow"

test: lint
	$(AS_CPU) $(VENV)/bin/python -m pytest -n auto --dist loadfile

book: $(READY)
	@$(BOOK) --no-execute

serve: $(READY)
	@$(BOOK) --no-execute --serve "$$GONLIB_MAKE_PORT"

bench: $(READY)
	@$(RUN) bench $(if $(value DEVICE),--device "$$GONLIB_MAKE_DEVICE")

clean:
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name store -exec rm -rf {} +; fi
	@echo 'Kept: .venv and the trained runs in build/store. Delete them yourself if you mean to.'

# One source of truth: pyproject.toml. torch is held at the pair that the recorded GPU runs were made with.
lock:
	printf 'torch==2.11.0\ntorchvision==0.26.0\n' | $(UV) pip compile --quiet --universal --python-version 3.11 \
	  --all-extras --generate-hashes --no-header --upgrade -c - -o requirements.lock pyproject.toml

$(READY): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo '$(PYTHON) was not found; install Python 3.11 or newer, or say' \
	  'where it is: make PYTHON=/path/to/python3.12'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "This needs Python 3.11 or newer," \
	  "and $(PYTHON) is $$($(PYTHON) --version 2>&1); choose another: make PYTHON=python3.12"; exit 1; }
	@echo 'Setting up .venv: once, about 3 GB to download (PyTorch with its GPU libraries) and 6 GB on disk.'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	$(VENV)/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
