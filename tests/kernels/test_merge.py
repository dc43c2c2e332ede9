"""merge_experts over many convolutions at once, against one convolution at a time in float64."""

import pytest
import torch
from lorair_kernels import PackedExperts, merge, merge_experts, top_expert
from lorair_kernels.launch import GRAD_A, MERGE

KINDS = {"1x1": (8, 40, 1, 1), "3x3": (3, 8, 3, 1), "2x2": (8, 17, 2, 1), "depthwise": (14, 14, 3, 14)}
GATES = {
    "one-hot": lambda experts: torch.eye(experts)[: min(experts, 2)],
    "soft": lambda experts: torch.rand(2, experts).softmax(1),
    "none": lambda experts: torch.zeros(1, experts),
}


def convolutions(kinds, experts, rank, device="cpu"):
    weights, a, b = [], [], []
    for cin, cout, k, groups in (KINDS[kind] for kind in kinds):
        weights.append(torch.randn(cout, cin // groups, k, k, device=device))
        a.append(torch.randn(experts, rank * k, cin * k, device=device))
        b.append(torch.randn(experts, cout // groups * k, rank * k, device=device))
    return weights, a, b


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("kinds", "experts", "rank", "gates"),
    [
        (KINDS, 3, 8, "soft"),
        (["depthwise"], 10, 5, "one-hot"),
        pytest.param(["depthwise"], 10, 5, "soft", marks=pytest.mark.full),
        pytest.param(["depthwise"], 10, 5, "none", marks=pytest.mark.full),
        *(
            pytest.param(kinds, experts, rank, gates, marks=pytest.mark.full)
            for kinds, experts, rank in ((KINDS, 1, 1), (["1x1"], 2, 64))
            for gates in GATES
        ),
        *(pytest.param(KINDS, 3, 8, gates, marks=pytest.mark.full) for gates in ("one-hot", "none")),
    ],
)
def test_all_convolutions_and_gradients(kinds, experts, rank, gates, device, assert_near):
    weights, a, b = convolutions(kinds, experts, rank, device)
    inputs = [t.requires_grad_() for t in (*weights, *a, *b, GATES[gates](experts).to(device))]
    merged = PackedExperts.pack(weights, a, b, scale=2.0).merge(inputs[-1])

    wide = [t.detach().double().requires_grad_() for t in inputs]
    n = len(weights)
    expected = [
        torch.stack([merge_experts(wide[i], wide[n + i], wide[2 * n + i], row, 2.0) for row in wide[-1]])
        for i in range(n)
    ]
    for got, want in zip(merged, expected, strict=True):
        assert_near(got, want, torch.float32)

    grads = [torch.randn_like(t) for t in merged]
    gradients = torch.autograd.grad(merged, inputs, grads)
    wanted = torch.autograd.grad(expected, wide, [g.double() for g in grads])
    for got, want in zip(gradients, wanted, strict=True):
        assert_near(got, want, torch.float32)


def test_sets_of_another_dtype_are_rounded_once(dtype, device):
    packed = PackedExperts.pack(*convolutions(KINDS, 3, 4, device), scale=2.0)
    gates = torch.rand(2, 3, device=device)
    for rounded, exact in zip(packed.merge(gates, dtype), packed.merge(gates), strict=True):
        assert torch.equal(rounded, exact.to(dtype))


@pytest.mark.usefixtures("backend")
def test_parameters_of_16_bits(dtype, device, assert_near):
    weights, a, b = ([t.to(dtype) for t in kind] for kind in convolutions(["1x1", "depthwise"], 3, 8, device))
    inputs = [t.requires_grad_() for t in (*weights, *a, *b, torch.rand(2, 3, device=device).to(dtype))]
    merged = PackedExperts.pack(weights, a, b, scale=2.0).merge(inputs[-1])
    wide = [t.detach().double().requires_grad_() for t in inputs]
    expected = [
        torch.stack([merge_experts(*(wide[i + 2 * kind] for kind in range(3)), row, 2.0) for row in wide[-1]])
        for i in range(2)
    ]
    grads = [torch.randn_like(t) for t in merged]
    gradients = torch.autograd.grad(merged, inputs, grads)
    wanted = torch.autograd.grad(expected, wide, [g.double() for g in grads])
    for got, want in zip((*merged, *gradients), (*expected, *wanted), strict=True):
        assert got.dtype == dtype
        assert_near(got, want, dtype)


def test_frozen_weights_and_gates_get_no_gradient(device):
    weights, a, b = convolutions(["1x1"], 2, 3, device)
    a[0].requires_grad_()
    packed = PackedExperts.pack(weights, a, b, scale=2.0)
    packed.merge(torch.rand(1, 2, device=device))[0].sum().backward()
    assert a[0].grad is not None and weights[0].grad is None and b[0].grad is None


def test_the_bank_holds_one_expert_per_set(device):
    weights, a, b = convolutions(KINDS, 3, 4, device)
    bank = PackedExperts.pack(weights, a, b, scale=2.0).bank()
    gates = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], device=device)
    index = top_expert(gates)
    assert index.dtype == torch.int32
    for i, sets in enumerate(bank):
        for image, gate in enumerate(gates):
            torch.testing.assert_close(sets[index[image]], merge_experts(weights[i], a[i], b[i], gate, 2.0))


def test_non_contiguous_and_channels_last_parameters(device, assert_near):
    weights, a, b = convolutions(["2x2", "1x1"], 2, 4, device)
    gates = torch.rand(2, 2, device=device).t()
    expected = PackedExperts.pack(weights, a, b, 2.0).merge(gates.contiguous())
    weights = [w.contiguous(memory_format=torch.channels_last) for w in weights]
    a = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in a]
    for got, want in zip(PackedExperts.pack(weights, a, b, 2.0).merge(gates), expected, strict=True):
        assert torch.equal(got, want)


def test_factors_that_fit_no_weight_are_rejected():
    weights, a, b = convolutions(["3x3"], 2, 4)
    with pytest.raises(ValueError, match="factors must be"):
        PackedExperts.pack(weights, [a[0][:, :-1]], b, 2.0)


@pytest.mark.parametrize(("axes", "plan"), [(("rows", "columns"), MERGE), (("rank", "columns"), GRAD_A)])
def test_the_tiles_cover_every_number_once(axes, plan):
    tile = plan.rows[0].tile
    shapes = (40, 300, 24, 3, 27, 3)
    sides = {"rows": (3, tile.rows), "columns": (4, tile.columns), "rank": (5, tile.rank)}
    table = merge.tile_table(shapes, 2, axes, tile, torch.device("cpu")).tolist()
    for weight_at, a_at, b_at, rows, columns, rank in {tuple(row[:6]) for row in table}:
        assert (weight_at, a_at, b_at) == ((0, 0, 0) if rows == 40 else (12000, 2 * 24 * 300, 2 * 40 * 24))
        covered = torch.zeros(*((rows, columns, rank)[sides[axis][0] - 3] for axis in axes))
        for row in table:
            if row[0] == weight_at:
                covered[row[6] : row[6] + sides[axes[0]][1], row[7] : row[7] + sides[axes[1]][1]] += 1
        assert (covered == 1).all()


def test_registered_as_torch_operations():
    weights, a, b = convolutions(["1x1", "depthwise"], 2, 3)
    packed = PackedExperts.pack(weights, a, b, 2.0)
    inputs = [t.detach().requires_grad_() for t in (packed.weights, packed.a, packed.b, torch.rand(2, 2))]
    shapes = list(packed.shapes)
    torch.library.opcheck(merge.merge_packed, (*inputs, shapes, 2.0, torch.float32))
    grad = torch.randn(2, len(packed.weights))
    torch.library.opcheck(merge.merge_packed_backward, (grad, *(t.detach() for t in inputs[1:]), shapes, 2.0))
