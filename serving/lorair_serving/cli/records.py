"""The records that the commands of `lorair-serve` print with --json, by command."""

from typing import TYPE_CHECKING

from lorair_serving.load import LoadRecord

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RECORDS: "dict[str, type[DataclassInstance]]" = {"lorair-serve load": LoadRecord}
