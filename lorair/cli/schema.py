"""What `--json` prints: the JSON Schema of a record's class, and the reference page of all commands."""

import inspect
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Schema: TypeAlias = dict[str, Any]

_NAMES = {
    str: "string",
    Path: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    types.NoneType: "null",
}


def schema_of(record: "type[DataclassInstance]") -> Schema:
    """The JSON Schema (2020-12) of what `print_json` prints for an instance: all fields, and no others.

    The description of a field is its entry under `Attributes:` in the docstring of its class.

    Raises:
        TypeError: a field's type has no counterpart in JSON.
    """
    hints = get_type_hints(record)
    meanings = dict(_meanings(record))
    properties = {field.name: _schema(hints[field.name]) for field in fields(record)}
    for name, meaning in meanings.items():
        properties[name]["description"] = meaning
    return {
        "type": "object",
        "description": (inspect.getdoc(record) or "").split("\n\n")[0].replace("\n", " "),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def reference_page(records: "Mapping[str, type[DataclassInstance]]") -> str:
    """A page in Markdown with a table of the fields that each command prints.

    Args:
        records: what is printed, by command, such as `"lorair info"`.
    """
    return "\n".join(line for command, record in records.items() for line in _section(command, schema_of(record)))


def _section(command: str, schema: Schema) -> Iterator[str]:
    yield from (f"## `{command} --json`", "", schema["description"], "", "| field | type | meaning |", "|---|---|---|")
    for name, inner in _rows("", schema):
        meaning = inner.get("description", "").replace("``", "`")
        yield f"| `{name}` | {_type_in_words(inner)} | {meaning} |"
    yield ""


def _rows(prefix: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Fields and theirs, named by their path: `parameters.experts`, `records[].psnr_db`, `gates{}`."""
    for name, inner in schema.get("properties", {}).items():
        yield prefix + name, inner
        yield from _rows(f"{prefix}{name}.", inner)
    if isinstance(schema.get("items"), dict):
        yield from _rows(f"{prefix.removesuffix('.')}[].", schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _rows(f"{prefix.removesuffix('.')}{{}}.", schema["additionalProperties"])
    for choice in schema.get("anyOf", ()):
        yield from _rows(prefix, choice)


def _type_in_words(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(map(_type_in_words, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"list of {schema['minItems']}: {', '.join(map(_type_in_words, schema['prefixItems']))}"
        case "array":
            return f"list of {_type_in_words(schema['items'])}"
        case "object" if "properties" not in schema:
            return f"object of {_type_in_words(schema['additionalProperties'])}"
        case None:
            return "any"
        case name:
            return str(name)


def _schema(hint: Any) -> Schema:  # noqa: ANN401 (a type hint is any object)
    if isinstance(hint, type) and is_dataclass(hint):
        return schema_of(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"enum": [member.value for member in hint]}
    if hint in (Any, object):
        return {}
    if hint in _NAMES:
        return {"type": _NAMES[hint]}
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(choice) for choice in inner]}
    if origin is tuple and inner[-1] is not Ellipsis:
        return {
            "type": "array",
            "prefixItems": [_schema(item) for item in inner],
            "items": False,
            "minItems": len(inner),
        }
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": _schema(inner[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(inner[1])}
    raise TypeError(f"{hint} has no counterpart in JSON")


def _meanings(record: type) -> Iterator[tuple[str, str]]:
    """Names and texts of the section `Attributes:` of a docstring."""
    _, _, section = (inspect.getdoc(record) or "").partition("\nAttributes:\n")
    for entry in re.split(r"\n {4}(?=\w)", "\n" + section.split("\n\n")[0]):
        name, colon, meaning = entry.partition(":")
        if colon:
            yield name.strip(), " ".join(meaning.split())
