"""The bundle: what is written reads back, and nothing damaged is read."""

import json

import pytest
from lorair_export.bundle import (
    MANIFEST,
    EngineRecord,
    Graph,
    Manifest,
    Numerics,
    ParityRecord,
    Profile,
    QuantizationRecord,
    TensorSpec,
    file_sha256,
    named_runtime,
    new_bundle,
    read_bundle,
    write_manifest,
)
from lorair_export.errors import ExportError


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    write_manifest(folder, manifest(folder))
    return folder


def manifest(folder):
    return Manifest(
        runtime="onnx",
        graphs=(
            Graph(
                "model",
                "model.onnx",
                (TensorSpec("image", "float32", ("batch", 3, "height", "width")),),
                (TensorSpec("gates", "float32", ("batch", 2)),),
                size_range=(16, 64),
                profiles=(Profile((1, 3, 16, 16), (1, 3, 32, 32), (2, 3, 64, 64)),),
                activation_mib=(12.5,),
            ),
        ),
        files={"model.onnx": file_sha256(folder / "model.onnx")},
        versions={"torch": "2"},
        checkpoint="0" * 64,
        lowering="low-rank",
        precision="fp32",
        opset=20,
        max_batch=2,
        degradations=("rain", "haze"),
        local_window=None,
        parity=(ParityRecord(("a.jpg", "b.jpg"), 32, 48, 120.5, 0.01, 1e-7, True),),
        mean_priors=((0.1, 0.25), (1.0, -3.0)),
        numerics=Numerics(
            {"model": {"int8": 0.75, "fp32": 0.25}},
            {"model": 1.5},
            "ONNX Runtime on the CPU",
            QuantizationRecord(8, "", {"model": ("restorer/net/ups/0",)}, {"model": 44.5}),
        ),
        engine=EngineRecord(
            "rtx",
            "1.7.1.116",
            ("8.6",),
            timing_cache="timings",
            parity=(ParityRecord(("a.jpg",), 32, 48, 80.5, 0.5, 1e-7, True),),
        ),
    )


def edited(folder, **changes):
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_written_reads_back(bundle):
    assert read_bundle(bundle) == manifest(bundle)
    assert named_runtime(bundle) == "onnx"


def test_sha256_of_a_known_file(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_changed_file_is_rejected_by_name(bundle):
    (bundle / "model.onnx").write_bytes(b"grapf")
    with pytest.raises(ExportError, match=r"model\.onnx.*SHA-256") as caught:
        read_bundle(bundle)
    assert caught.value.exit_code == 4


def test_a_missing_file_is_rejected_by_name(bundle):
    (bundle / "model.onnx").unlink()
    with pytest.raises(ExportError, match=r"model\.onnx: missing"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 2}, "format 2, and this lorair reads 3"),
        ({"format": "other"}, "damaged"),
        ({"surprise": 1}, "damaged"),
        ({"graphs": 3}, "damaged"),
        ({"engine": {"flavour": "rtx"}}, "damaged.*version"),
        ({"engine": {"flavour": "other", "version": "1", "compute_capabilities": []}}, "damaged.*flavour"),
        ({"max_batch": "2"}, "damaged.*max_batch"),
        ({"graphs": [{}]}, "damaged.*name"),
        ({"graphs": []}, "damaged.*plain file names"),
        ({"routing": "guessed"}, "damaged"),
        ({"files": {"../model.onnx": "0"}}, "damaged.*plain file names"),
        ({"files": {"other.onnx": "0"}}, "damaged.*plain file names"),
    ],
)
def test_a_manifest_of_another_kind_is_rejected(bundle, changes, words):
    edited(bundle, **changes)
    with pytest.raises(ExportError, match=words):
        read_bundle(bundle)


@pytest.mark.parametrize("text", ["", "[]", "{", '"bundle"'])
def test_a_damaged_manifest_is_rejected(bundle, text):
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(ExportError, match="damaged"):
        read_bundle(bundle)
    assert named_runtime(bundle) is None


def test_a_folder_without_manifest_is_no_bundle(tmp_path):
    with pytest.raises(ExportError, match="lorair-export onnx"):
        read_bundle(tmp_path)
    assert named_runtime(tmp_path / "nowhere") is None


def test_a_bundle_appears_whole(tmp_path):
    target = tmp_path / "deep" / "bundle"
    with new_bundle(target) as folder:
        (folder / "file").write_text("new")
        assert not target.exists() and folder.parent.parent == target.parent
    assert [path.name for path in target.parent.iterdir()] == ["bundle"]
    assert (target / "file").read_text() == "new"


def test_a_failing_bundle_leaves_nothing(bundle):
    before = sorted(bundle.parent.rglob("*"))
    with pytest.raises(ExportError, match="half way"), new_bundle(bundle, overwrite=True) as folder:
        (folder / "file").write_text("half")
        raise ExportError("half way")
    assert sorted(bundle.parent.rglob("*")) == before
    read_bundle(bundle)


def test_a_bundle_is_replaced_only_when_asked(bundle):
    with pytest.raises(ExportError, match="--overwrite"), new_bundle(bundle):
        pass
    with new_bundle(bundle, overwrite=True) as folder:
        (folder / "file").write_text("new")
    assert [path.name for path in bundle.iterdir()] == ["file"]
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_overwriting_spares_what_is_no_bundle(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"photo")
    with pytest.raises(ExportError, match="exists and has no"), new_bundle(tmp_path, overwrite=True):
        pass
    assert (tmp_path / "holiday.jpg").exists()
