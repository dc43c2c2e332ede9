# Every target sets up what it needs in .venv; PYTHON chooses the interpreter it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-all test-lowest check docs wheel bench bench-gpu test-gpu clean

$(READY): pyproject.toml serving/tritonserver.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --upgrade --no-deps --target $(VENV)/tritonserver -r serving/tritonserver.txt
	touch $@

demo: $(READY)
	rm -rf demo
	$(BIN)/python examples/demo.py demo

# OpenVINO has a process of its own: after it, in one with the rest, a signal's delivery ended in a segmentation fault.
OPENVINO := tests/export/runtimes/test_openvino.py
# Two workers of one thread each; a file stays on one of them, as some tests build on others of their file.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations 10

test: $(READY)
	$(PYTEST) --numprocesses 2 --dist loadfile --ignore $(OPENVINO)
	$(PYTEST) $(OPENVINO)

test-all: PYTEST += -m ''
test-all: test

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/pyright
	$(BIN)/lint-imports

# The commands' pages are made of their own help.
docs: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/typer lorair.cli utils docs --name lorair --output docs/reference/lorair.md
	$(BIN)/typer lorair_export.cli utils docs --name lorair-export --output docs/reference/lorair-export.md
	$(BIN)/typer lorair_export.cli.bench utils docs --name lorair-bench --output docs/reference/lorair-bench.md
	$(BIN)/typer lorair_serving.cli utils docs --name lorair-serve --output docs/reference/lorair-serve.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# What pip makes of this folder, in an environment of its own: the four packages and the default model, and nothing else.
wheel: $(READY)
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(PYTHON) -m venv dist/venv
	dist/venv/bin/python -m pip install --quiet dist/*.whl
	cd dist && venv/bin/lorair info default

# Whether every extra can be installed on every Python version and system that is supported; installs nothing.
EXTRAS := export openvino serving train docs dev
SYSTEMS := x86_64-manylinux_2_35 aarch64-manylinux_2_35 windows aarch64-apple-darwin
RESOLVE := $(foreach version,3.11 3.12 3.13 3.14,$(SYSTEMS:%=resolve/$(version)/%))
.PHONY: resolve $(RESOLVE)

resolve: $(READY)
	$(MAKE) --no-print-directory --jobs 16 $(RESOLVE)

$(RESOLVE): resolve/%:
	MACOSX_DEPLOYMENT_TARGET=14.0 $(BIN)/uv pip compile --no-config --quiet --only-binary :all: pyproject.toml \
	    $(EXTRAS:%=--extra %) --python-version $(*D) --python-platform $(*F) > /dev/null

# The fast tests on the lowest versions that pyproject.toml allows.
LOWEST := .venv-lowest
test-lowest: $(READY)
	$(PYTHON) -m venv $(LOWEST)
	$(BIN)/uv pip install --no-config --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[dev]'
	$(LOWEST)/bin/python -m pip install --quiet --upgrade --no-deps --target $(LOWEST)/tritonserver -r serving/tritonserver.txt
	$(LOWEST)/bin/python -m pytest --durations 10

bench: $(READY)
	$(BIN)/python -m lorair_export.bench.experts --preset lorair-64 --size 256
	$(BIN)/python -m lorair_export.bench.step --preset tiny --size 96 --batch 16
	$(BIN)/lorair-bench latency --model default

bench-gpu: $(READY)
	$(BIN)/python -m lorair_kernels.benchmarks --results kernels/results.csv --commit "$$(git describe --always --dirty)"
	$(BIN)/python -m lorair_export.bench.fused --results kernels/results.csv --commit "$$(git describe --always --dirty)"

test-gpu: $(READY)
	$(PYTEST) tests/kernels tests/lorair/model -m ''

clean:
	rm -rf $(VENV) $(LOWEST) demo dist site
