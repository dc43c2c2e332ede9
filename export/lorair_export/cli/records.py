"""The records that the commands of `lorair-export` and `lorair-bench` print with --json, by command."""

from typing import TYPE_CHECKING

from lorair_export.bench import LatencyRecord
from lorair_export.cli.exported import Exported
from lorair_export.inspection import Diagnosis, Inspection
from lorair_export.pipeline import ExportPlan, Verification

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RECORDS: "dict[str, type[DataclassInstance]]" = {
    "lorair-export onnx": Exported,
    "lorair-export trt": Exported,
    "lorair-export onnx --dry-run": ExportPlan,
    "lorair-export trt --dry-run": ExportPlan,
    "lorair-export verify": Verification,
    "lorair-export inspect": Inspection,
    "lorair-export doctor": Diagnosis,
    "lorair-bench latency": LatencyRecord,
    "lorair-bench restorer": LatencyRecord,
}
