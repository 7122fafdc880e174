"""Parse JSON strictly, rejecting what other parsers accept silently.

A duplicate key, NaN or Infinity, half a surrogate pair or a number of a thousand digits is a
mistake of the sender, and a prediction based on a guess would look like any other.
"""

import json
import math
from typing import Any

from mlstack.errors import MlstackError, echo

MAX_DEPTH = 16
"""Maximum number of nested objects and arrays."""

MAX_NUMBER_LENGTH = 64
"""Maximum length of a number in characters."""

_TOO_DEEP = f"the body nests deeper than {MAX_DEPTH} levels"


class InvalidJson(MlstackError):
    """The text is not acceptable JSON.

    `code` is `empty_body`, `not_utf8`, `malformed_json`, `duplicate_key`, `not_a_number`,
    `too_deep` or `number_too_long`, and stable.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(detail)


def parse(body: bytes) -> Any:
    """Parse a JSON document in UTF-8.

    All strings in the result are valid Unicode and all numbers finite. Raises InvalidJson with what
    is wrong and where.
    """
    if not body.strip(b" \t\r\n"):
        raise InvalidJson("empty_body", "the body is empty; send a JSON document")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJson("not_utf8", f"the body is not UTF-8 at byte {error.start}") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidJson(
            "malformed_json", f"the body is not valid JSON: {error.msg} at {where}"
        ) from None
    except RecursionError:
        raise InvalidJson("too_deep", _TOO_DEEP) from None
    # Each level opens with a bracket, so text with few brackets need not be checked.
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_too_deep(value):
        raise InvalidJson("too_deep", _TOO_DEEP)
    if "\\u" in text:
        _check_unicode(value)
    return value


def _is_too_deep(value: Any) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for container in level
            for inner in (container.values() if isinstance(container, dict) else container)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidJson(
                    "duplicate_key", f"the key {echo(key)} appears twice in an object"
                )
            seen.add(key)
    return value


def _integer(text: str) -> int:
    _check_length(text)
    return int(text)


def _real(text: str) -> float:
    _check_length(text)
    value = float(text)
    if math.isinf(value):
        raise InvalidJson("number_too_long", "a number is too large to be represented")
    return value


def _check_length(text: str) -> None:
    if len(text) > MAX_NUMBER_LENGTH:
        detail = f"a number has {len(text)} characters; at most {MAX_NUMBER_LENGTH} are allowed"
        raise InvalidJson("number_too_long", detail)


def _constant(text: str) -> Any:
    raise InvalidJson(
        "not_a_number", f"{text} is not a JSON number; leave the field out or send null"
    )


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant
)


def _check_unicode(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        detail = "a string contains an unpaired surrogate (\\ud800 to \\udfff)"
        raise InvalidJson("not_utf8", detail) from None
