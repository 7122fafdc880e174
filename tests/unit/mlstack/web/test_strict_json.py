"""Strict JSON refuses what other parsers accept silently."""

import pytest

from mlstack.web.strict_json import MAX_DEPTH, MAX_NUMBER_LENGTH, InvalidJson, parse


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b" \n\t", "empty_body"),
        (b"{", "malformed_json"),
        (b"{'a': 1}", "malformed_json"),
        (b'{"a": 1} x', "malformed_json"),
        (b'{"a": 01}', "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b'["\x01"]', "malformed_json"),
        (b"\xef\xbb\xbf{}", "malformed_json"),
        (b'{"a": "\xff"}', "not_utf8"),
        (b'{"a": "\xed\xa0\x80"}', "not_utf8"),
        (b'{"a": "\\ud800"}', "not_utf8"),
        (b'{"\\udfff": 1}', "not_utf8"),
        (b'{"a": 1, "a": 1}', "duplicate_key"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "duplicate_key"),
        (b'{"a": NaN}', "not_a_number"),
        (b"[Infinity]", "not_a_number"),
        (b"[-Infinity]", "not_a_number"),
        (b"[1e999]", "number_too_long"),
        (b"1" * (MAX_NUMBER_LENGTH + 1), "number_too_long"),
        (b"[1." + b"0" * 10_000 + b"]", "number_too_long"),
        (b"1" * 70 + b'"' + b'\\"' * 30_000, "number_too_long"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
    ],
)
def test_unacceptable_json_is_refused(body: bytes, code: str) -> None:
    """JSON that other parsers guess at is refused with its code."""
    with pytest.raises(InvalidJson) as caught:
        parse(body)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, -2.5, 1e2, true, null, "x"]}', {"a": [1, -2.5, 100.0, True, None, "x"]}),
        (b'"' + b"[" * 50 + b'"', "[" * 50),
        (b'"\\"' + b"{" * 50 + b'"', '"' + "{" * 50),
        (b'"' + b"7" * 500 + b'"', "7" * 500),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        (b"9" * MAX_NUMBER_LENGTH, int("9" * MAX_NUMBER_LENGTH)),
    ],
)
def test_acceptable_json_is_parsed(body: bytes, value: object) -> None:
    """Acceptable JSON is parsed without a change."""
    assert parse(body) == value or value is None
