# Every target sets up what it needs in .venv; PYTHON chooses the interpreter it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check bench bench-gpu test-gpu clean

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
test: $(READY)
	$(BIN)/python -m pytest --ignore tests/export/test_openvino.py
	$(BIN)/python -m pytest tests/export/test_openvino.py

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/pyright
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m lorair_export.bench.experts --preset lorair-64 --size 256
	$(BIN)/lorair-bench latency --model default

bench-gpu: $(READY)
	$(BIN)/python kernels/benchmarks/run.py

test-gpu: $(READY)
	$(BIN)/python -m pytest tests/kernels tests/lorair/test_fused.py tests/lorair/test_cuda_graphs.py

clean:
	rm -rf $(VENV) demo
