"""Forms of routing, lowerings and precisions: each combination restores and builds, or is refused with the reason."""

import re
import shutil
from itertools import product

import numpy as np
import onnx
import pytest
from lorair_export.bundle import TOLERANCES, Profile, compare, read_bundle
from lorair_export.errors import BuildError
from lorair_export.pipeline.engines import add_engines
from lorair_export.pipeline.shapes import ROUTED_SIDE
from lorair_export.runtimes.onnxruntime import OnnxRuntime
from lorair_export.spec import GraphSpec, Lowering
from lorair_export.spec.precision import PRECISIONS
from lorair_export.spec.routing_form import RoutingForm
from lorair_export.tensorrt.builder import EngineSpec, checked_targets

from lorair.inference.torch_runtime import TorchRuntime
from lorair.photographs import examples

EIGHT_BIT = ("int8", "fp8")
# A form's lowerings, and the fixture's name of each.
FORMS = {
    RoutingForm.GRAPH: {Lowering.MERGED: "merged", Lowering.LOW_RANK: "low-rank"},
    RoutingForm.SPLIT: {Lowering.MERGED: "split-merged", Lowering.LOW_RANK: "split"},
    RoutingForm.EXPERTS: {Lowering.PLAIN: "experts"},
    RoutingForm.PINNED: {Lowering.PLAIN: "pinned"},
}
CELLS = [
    (name, precision)
    for lowerings in FORMS.values()
    for (lowering, name), precision in product(lowerings.items(), PRECISIONS)
    if not (precision in EIGHT_BIT and lowering is Lowering.MERGED)
]
# Each form and each precision at least once, those that have paths of their own together; the others in the full run.
FAST = (
    *((name, "fp32") for name in ("merged", "low-rank", "split", "experts", "pinned")),
    *(("merged", "fp16"), ("low-rank", "bf16"), ("low-rank", "int8"), ("experts", "int8"), ("pinned", "fp8")),
)
MARKED = [pytest.param(*cell, marks=() if cell in FAST else pytest.mark.full) for cell in CELLS]


@pytest.mark.parametrize(("form", "precision"), MARKED)
def test_restores_in_its_precision(form_of, form, precision):
    """Against torch in float32, on photographs that nothing was calibrated on, by bundles read back."""
    exported = form_of(form, precision)
    manifest = read_bundle(exported.folder)
    assert manifest == exported.manifest and manifest.precision == precision
    for shares in manifest.numerics.convolutions.values():
        assert shares[precision] >= PRECISIONS[precision].least_share
        assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    runtime, shape = OnnxRuntime.open(str(exported.folder), "cpu"), manifest.graphs[-1].shape or (50, 94)
    batch = min(2, manifest.max_batch)
    records = compare(TorchRuntime(exported.model), runtime, examples()[3:6], batch, manifest.pinned, shape)
    low, high = TOLERANCES[precision].psnr_db, 200 if precision == "fp32" else 100
    assert all(low <= record.psnr_db < high and record.gates_difference < 1e-4 for record in records)


@pytest.mark.parametrize(("form", "precision"), MARKED)
def test_graphs_pass_the_checker_under_names_that_people_read(form_of, form, precision):
    """And each was traced once at most, a router that another form has too not again."""
    exported = form_of(form, precision)
    assert 0 < exported.traces <= len(exported.manifest.graphs)
    borders = {
        "model": ({"image"}, {"restored"} if form == "pinned" else {"restored", "gates"}),
        "router": ({"image"}, {"gates", "prior"}),
        "restorer": ({"image", "prior", "gates"}, {"restored"}),
        **{f"restorer.{name}": ({"image", "prior"}, {"restored"}) for name in exported.model.degradations},
    }
    apart = [f"restorer.{name}" for name in exported.model.degradations] if form == "experts" else ["restorer"]
    files = ["router", *apart] if form == "experts" or form.startswith("split") else ["model"]
    assert {path.name for path in exported.folder.glob("*.onnx")} == {f"{name}.onnx" for name in files}
    for name in files:
        path = exported.folder / f"{name}.onnx"
        onnx.checker.check_model(str(path), full_check=True)
        graph = onnx.load(path).graph
        assert ({value.name for value in graph.input}, {value.name for value in graph.output}) == borders[name]
        assert all(re.fullmatch(r"(router|restorer)/[\w/]+", node.name) for node in graph.node)


@pytest.mark.parametrize(("form", "precision"), MARKED)
def test_builds(rtx, form_of, form, precision, tmp_path):
    exported = form_of(form, precision)
    folder = shutil.copytree(exported.folder, tmp_path / "bundle")
    batch, shape = exported.manifest.max_batch, exported.manifest.graphs[-1].shape
    fixed = (exported.manifest.graphs[-1].fixed_batch or 1, 3, 48, 64)
    profile = Profile(fixed, fixed, fixed) if shape else Profile((1, 3, 48, 48), (1, 3, 64, 64), (batch, 3, 96, 160))
    add_engines(folder, exported.manifest, rtx, EngineSpec((profile,)))
    manifest = read_bundle(folder)
    assert manifest.engine.compute_capabilities == (*(["8.6"] if precision != "fp8" else []), "8.9", "12.0")
    assert [graph.name for graph in manifest.graphs] == [graph.name for graph in exported.manifest.graphs]
    for graph in manifest.graphs:
        assert graph.file.startswith(f"{graph.name}.{precision}.rtx")
        assert (folder / graph.file).read_bytes()[:4] == b"vtrt"
        routed = ((1, 3, 2, 2), (1, *profile.opt[1:]), (batch, 3, ROUTED_SIDE, ROUTED_SIDE))
        assert graph.profiles == ((Profile(*routed),) if graph.name == "router" else (profile,))


def test_what_is_no_cell_is_rejected():
    options = {RoutingForm.PINNED: {"pinned": "rain"}}
    for routing, lowering, precision in product(RoutingForm, Lowering, PRECISIONS):
        taken = (FORMS[routing].get(lowering), precision) in CELLS

        def spec(routing=routing, lowering=lowering, precision=precision) -> GraphSpec:
            return GraphSpec(lowering, precision, opset=22, routing=routing, **options.get(routing, {}))

        if taken:
            assert spec().lowering is lowering
            continue
        quantised = precision in EIGHT_BIT and lowering is Lowering.MERGED
        with pytest.raises(ValueError, match="stores kernels in 8 bits" if quantised else "leave it to auto"):
            spec()


@pytest.mark.parametrize(("precision", "target"), [("fp8", "8.6"), ("fp8", "7.5"), ("bf16", "7.5")])
def test_gpus_that_do_not_compute_in_a_precision_are_rejected(rtx, precision, target):
    with pytest.raises(BuildError, match=rf"{target} does not compute in {precision}, which takes 8\.[09] or above"):
        checked_targets(rtx, (target, "8.9"), precision)


@pytest.mark.parametrize("form", ["low-rank", "pinned"])
def test_kernels_take_a_quarter(form_of, form):
    """By the constants themselves: 8 bits for 32, a scale per channel beside them."""
    initializers = {
        precision: {t.name: t for t in onnx.load(form_of(form, precision).folder / "model.onnx").graph.initializer}
        for precision in ("fp32", "int8")
    }
    names = [name.removesuffix(".quantised") for name in initializers["int8"] if name.endswith(".quantised")]
    assert len(names) > 10
    for name in names:
        small, kept = initializers["int8"][f"{name}.quantised"], initializers["fp32"][name]
        scale = initializers["int8"][f"{name}.scale"]
        assert np.prod(scale.dims) == kept.dims[0] and len(small.raw_data) * 4 == len(kept.raw_data)
