"""config.pbtxt <-> plain data in the form of its message inference.ModelConfig, which is the schema of both."""

from collections.abc import Mapping
from typing import Any

from lorair_export.extras import require

Config = Mapping[str, Any]


def text_from_config(config: Config) -> str:
    """The config.pbtxt of a configuration; google.protobuf's ParseError where it breaks the schema."""
    message = require("google.protobuf.json_format", "serving").ParseDict(dict(config), _empty_message())
    return require("google.protobuf.text_format", "serving").MessageToString(message)


def config_from_text(text: str) -> Config:
    """The configuration in a config.pbtxt, without fields at their default; ParseError where it breaks the schema."""
    message = require("google.protobuf.text_format", "serving").Parse(text, _empty_message())
    to_dict = require("google.protobuf.json_format", "serving").MessageToDict
    return to_dict(message, preserving_proto_field_name=True)


def _empty_message() -> Any:  # noqa: ANN401 (tritonclient's messages have no types)
    return require("tritonclient.grpc.model_config_pb2", "serving").ModelConfig()
