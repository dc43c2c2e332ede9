"""The records that the commands of `lorair` print with --json, by command."""

from typing import TYPE_CHECKING

from lorair.checkpoints import CheckpointFacts
from lorair.data import DataCheck
from lorair.evaluation import EvaluationReport
from lorair.inference import FileRecord

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RECORDS: "dict[str, type[DataclassInstance]]" = {
    "lorair restore": FileRecord,
    "lorair info": CheckpointFacts,
    "lorair evaluate": EvaluationReport,
    "lorair data check": DataCheck,
}
