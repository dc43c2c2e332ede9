"""Plain data (mappings, lists, numbers, strings) <-> frozen dataclasses, every value checked against its type."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


def dict_from_dataclass(record: "DataclassInstance") -> dict[str, Any]:
    """A dataclass and those in it as plain data, which JSON holds: a tuple becomes a list, a path a string.

    Raises:
        TypeError: a value is none of str, bool, int, float, None, path, sequence, mapping and dataclass.
    """
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}


def dataclass_from_dict(cls: type[T], data: object, where: str) -> T:
    """Build `cls` and the dataclasses in it. ValueError names a field that is missing, unknown or of a wrong type."""
    if not isinstance(data, Mapping):
        raise ValueError(f"{where} must be a mapping; got {type(data).__name__}")
    assert is_dataclass(cls)
    given = cast("Mapping[str, object]", data)
    names = [field.name for field in fields(cls)]
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"{where} has unknown fields {unknown}; known are {names}")
    hints = get_type_hints(cls)
    values = {name: _value(hints[name], given[name], f"{where}.{name}") for name in names if name in given}
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from error


def _plain(value: object) -> object:
    match value:
        case None | str() | bool() | int() | float():
            return value
        case PurePath():
            return str(value)
        case Mapping():
            entries = cast("Mapping[object, object]", value)
            return {str(key): _plain(entry) for key, entry in entries.items()}
        case Sequence():
            return [_plain(entry) for entry in cast("Sequence[object]", value)]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return dict_from_dataclass(value)
        case _:
            raise TypeError(f"{type(value).__name__} is not plain data")


def _value(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 (a type hint is any object)
    if isinstance(hint, type) and is_dataclass(hint):
        return dataclass_from_dict(hint, value, where)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if value not in list(hint):
            raise ValueError(f"{where} must be one of {', '.join(hint)}; got {value!r}")
        return hint(value)
    item, origin = get_args(hint), get_origin(hint)
    if origin is tuple and isinstance(value, list | tuple):
        if item[-1] is not Ellipsis and len(item) != len(value):
            raise ValueError(f"{where} must have {len(item)} entries; got {len(value)}")
        return tuple(_value(item[0], entry, f"{where}[{i}]") for i, entry in enumerate(value))
    if origin is Mapping and isinstance(value, Mapping):
        return {key: _value(item[1], entry, f"{where}.{key}") for key, entry in value.items()}
    if origin is Literal:
        if value not in item:
            raise ValueError(f"{where} must be one of {', '.join(map(str, item))}; got {value!r}")
        return value
    if isinstance(value, Mapping) and (inner := next(filter(is_dataclass, item), None)):
        return _value(inner, value, where)
    allowed = (origin,) if origin in (tuple, Mapping) else item or (hint,)
    if float in allowed and int not in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise ValueError(f"{where} must be {getattr(hint, '__name__', hint)}; got {value!r}")
    return value
