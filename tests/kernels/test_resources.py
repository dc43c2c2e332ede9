"""The kernels of the plan compiled ahead of time, on whatever machine runs the tests."""

import os
import subprocess
import sys

import pytest
from lorair_kernels.resources import SHARED_LIMIT

pytest.importorskip("triton", reason="triton is not installed, so nothing can be compiled")
KERNELS = {
    "merge", "merge_grad_a", "merge_grad_b", "pointwise", "depthwise_gate", "gate_grad", "depthwise_grad",
    "grouped_weight_grad", "grouped_sum", "feed_forward", "gated_lowrank", "attention_weights", "local_mean",
}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "capabilities", "storages"),
    [
        (("--one-each", "--capability", "90"), [90], {"fp16", "fp32"}),
        pytest.param((), list(SHARED_LIMIT), {"fp16", "bf16", "fp32"}, marks=pytest.mark.full),
    ],
)
def test_every_kernel_compiles_without_spilling_within_shared_memory(options, capabilities, storages):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "lorair_kernels.resources", *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    rows = [line.split(maxsplit=5) for line in done.stdout.splitlines()[1:]]
    labels = [(row[0], *row[5].split()[:2]) for row in rows]
    assert {(part, kernel) for part, kernel, _ in labels} == {(f"sm_{c}", k) for c in capabilities for k in KERNELS}
    assert {storage for *_, storage in labels} == storages
    assert [row for row in rows if int(row[2]) > 0] == [], "these kernels spill registers"
    assert [row for row in rows if float(row[3]) >= float(row[4])] == [], "these need more shared memory than there is"


def test_importing_the_package_does_not_import_triton():
    script = "import sys, lorair_kernels; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
