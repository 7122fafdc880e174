"""Check JSON values against a JSON schema, and describe each error in a sentence."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlstack.contract.days import is_day
from mlstack.errors import MAX_ERRORS, FieldError, echo, json_kind, json_pointer

if TYPE_CHECKING:
    import jsonschema_rs


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How to report the errors of a field.

    Args:
        wanted: The allowed values, to complete 'must be ...'.
        code: Returns the error code for a value.
    """

    wanted: str
    code: Callable[[Any], str]


class _FirstDay:
    """The keyword `formatMinimum` of a date, which JSON schema itself does not have."""

    def __init__(self, _: Mapping[str, Any], bound: str, __: Sequence[str | int]) -> None:
        self._bound = bound

    def validate(self, value: Any) -> None:
        """Raise ValueError unless a text is a date within the bound."""
        if isinstance(value, str) and not (is_day(value) and self._holds(value)):
            raise ValueError

    def _holds(self, day: str) -> bool:
        return day >= self._bound


class _LastDay(_FirstDay):
    """The keyword `formatMaximum`."""

    def _holds(self, day: str) -> bool:
        return day <= self._bound


_KEYWORDS: dict[str, Any] = {"formatMinimum": _FirstDay, "formatMaximum": _LastDay}


class SchemaValidator:
    """Finds errors in JSON objects and in arrays of them.

    Args:
        schema: JSON schema (draft 2020-12) of one object.
        fields: A rule for each property of the schema.
        item: What one object is, to complete 'must be a JSON object with ...'.
        items: Plural noun for the objects.
        unknown: What is wrong with a field that the schema lacks.
    """

    def __init__(
        self,
        schema: dict[str, Any],
        fields: Mapping[str, FieldRule],
        *,
        item: str,
        items: str,
        unknown: str,
    ) -> None:
        # A large extension module that programs which only draw or send customers do not need.
        import jsonschema_rs  # noqa: PLC0415 - see above

        self._kinds = jsonschema_rs.ValidationErrorKind
        self._fields, self._unknown = fields, unknown
        self._item, self._items = item, items
        # A schema may require exactly one of several fields.
        self._either = " or ".join(one["required"][0] for one in schema.get("oneOf", []))
        array = {"type": "array", "items": schema}
        self._one = jsonschema_rs.Draft202012Validator(schema, keywords=_KEYWORDS)
        self._many = jsonschema_rs.Draft202012Validator(array, keywords=_KEYWORDS)

    def faults(self, value: Any, *path: int) -> tuple[FieldError, ...]:
        """Return the errors of one object, at most `MAX_ERRORS`; none if it is valid.

        The strings in `value` must be valid Unicode. `path` is its position in the request.
        """
        if self._one.is_valid(value):
            return ()
        faults: list[FieldError] = []
        for error in self._one.iter_errors(value):
            for fault in self._field_errors(error, path):
                if fault not in faults:
                    faults.append(fault)
                if len(faults) == MAX_ERRORS:
                    return tuple(faults)
        return tuple(faults)

    def array_faults(self, value: Any, most: int) -> tuple[FieldError, ...]:
        """Return the errors of an array of 1 to `most` objects; none if it is valid."""
        if faults := self.length_faults(value, 1, most):
            return faults
        if self._many.is_valid(value):
            return ()
        # Item by item: the library finds all errors at once, each with all values of an enum.
        collected = list[FieldError]()
        for number, item in enumerate(value):
            collected += self.faults(item, number)
            if len(collected) >= MAX_ERRORS:
                break
        return tuple(collected[:MAX_ERRORS])

    def is_valid(self, value: Any) -> bool:
        """Return whether an object has no errors, without describing them."""
        return self._one.is_valid(value)

    def length_faults(self, value: Any, least: int, most: int) -> tuple[FieldError, ...]:
        """Return an error unless a value is an array of `least` to `most` entries."""
        if not isinstance(value, list):
            detail = f"must be a JSON array of {self._items}, is {json_kind(value)}"
            return (FieldError("", "wrong_type", detail),)
        if least <= len(value) <= most:
            return ()
        code = "too_few" if len(value) < least else "too_many"
        detail = f"must have {least} to {most} {self._items}, has {len(value)}"
        return (FieldError("", code, detail),)

    def _field_errors(
        self, error: "jsonschema_rs.ValidationError", prefix: tuple[int, ...]
    ) -> Iterator[FieldError]:
        path, kind = [*prefix, *error.instance_path], error.kind
        if error.instance_path:
            # A field may have parts of its own; its rule describes all of them.
            rule = self._fields[str(error.instance_path[0])]
            detail = f"must be {rule.wanted}; got {echo(error.instance)}"
            yield FieldError(json_pointer(path), rule.code(error.instance), detail)
        elif isinstance(kind, self._kinds.AdditionalProperties):
            for name in kind.unexpected:
                detail = f"{self._unknown}: {echo(name)}"
                yield FieldError(json_pointer([*path, name]), "unknown_field", detail)
        elif isinstance(kind, self._kinds.Required):
            name = kind.property
            detail = f"is missing; must be {self._fields[name].wanted}"
            yield FieldError(json_pointer([*path, name]), "missing", detail)
        elif isinstance(kind, self._kinds.OneOfNotValid):
            yield FieldError(json_pointer(path), "missing", f"must have {self._either}")
        elif isinstance(kind, self._kinds.OneOfMultipleValid):
            detail = f"must have only one of {self._either}"
            yield FieldError(json_pointer(path), "too_many", detail)
        else:
            detail = f"must be a JSON object with {self._item}, is {json_kind(error.instance)}"
            yield FieldError(json_pointer(path), "wrong_type", detail)
