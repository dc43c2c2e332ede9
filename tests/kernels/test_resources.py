"""Every kernel of the plan, compiled for every architecture it is meant for, on whatever machine runs the tests."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="triton is not installed, so nothing can be compiled")


def test_every_kernel_compiles_without_spilling_within_shared_memory():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "lorair_kernels.resources"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    rows = [line.split(maxsplit=5) for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows} == {"sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"}
    assert {row[5].split()[0] for row in rows} == {
        "merge", "merge_grad_a", "merge_grad_b", "pointwise", "depthwise_gate", "gate_grad", "depthwise_grad",
        "grouped_weight_grad", "grouped_sum", "feed_forward", "gated_lowrank", "attention_weights", "local_mean",
    }  # fmt: skip
    assert {row[5].split()[1] for row in rows} == {"fp16", "bf16", "fp32"}
    assert [row for row in rows if int(row[2]) > 0] == [], "these kernels spill registers"
    assert [row for row in rows if float(row[3]) >= float(row[4])] == [], "these need more shared memory than there is"


def test_importing_the_package_does_not_import_triton():
    script = "import sys, lorair_kernels; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
