"""Requests that must be refused, with the answer to each."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlstack.contract import (
    BooleanFeature,
    CategoryFeature,
    Contract,
    DateFeature,
    Feature,
    IntegerFeature,
    OrdinalFeature,
)
from mlstack.errors import MAX_ERRORS
from tests.support.contracts import CONTRACTS

JSON = ("Content-Type", "application/json")
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class BadRequest:
    """A request that must be refused, and how.

    Args:
        name: Says what is wrong with it.
        code: Of the problem.
        pointers: Of the problem's errors, in any order; None: not looked at.
        faults: Codes of the problem's errors, in the pointers' order.
    """

    name: str
    status: int
    code: str
    body: bytes
    path: str = "/predict"
    method: str = "POST"
    headers: Headers = (JSON,)
    pointers: tuple[str, ...] | None = ()
    faults: tuple[str, ...] = ()


def bad_requests(contract: Contract) -> list[BadRequest]:
    """List the bad requests of a contract; no two have the same name.

    Those that do not depend on the features are listed for the first contract only.
    """
    parts = [_bad_features(contract), _bad_customers(contract), _bad_batches(contract)]
    if contract.name == CONTRACTS[0]:
        parts += [
            _bad_json(contract),
            _bad_declarations(contract),
            _bad_idempotency_keys(contract),
            _bad_parameters(contract),
            _bad_sizes(contract),
            _bad_paths(contract),
            _bad_methods(contract),
        ]
    return list(itertools.chain(*parts))


def _invalid(
    name: str, document: Any, faults: dict[str, str], path: str = "/predict"
) -> BadRequest:
    return BadRequest(
        name,
        422,
        "invalid_customer",
        json.dumps(document).encode(),
        path,
        pointers=tuple(faults),
        faults=tuple(faults.values()),
    )


def _bad_features(contract: Contract) -> Iterator[BadRequest]:
    for feature in contract.features:
        name, good = feature.name, dict(contract.example)
        for kind, value, fault in bad_values(feature):
            yield _invalid(f"{name} is {kind}", {**good, name: value}, {f"/{name}": fault})
        if not feature.may_be_missing:
            without = {key: value for key, value in good.items() if key != name}
            yield _invalid(f"{name} is missing", without, {f"/{name}": "missing"})
        given = json.dumps(good[name])
        for text, code in (
            (f'"{name}": {given}, "{name}": {given}', "duplicate_key"),
            (f'"{name}": NaN', "not_a_number"),
            (f'"{name}": -Infinity', "not_a_number"),
            (f'"{name}": 1{"0" * 100}', "number_too_long"),
        ):
            body = json.dumps(good).replace(f'"{name}": {given}', text)
            yield BadRequest(f"{name}: {code} {text[-8:]}", 400, code, body.encode())


def bad_values(feature: Feature) -> Iterator[tuple[str, Any, str]]:
    """Yield values that a feature never takes: name, value and code of the error."""
    if isinstance(feature, BooleanFeature):
        yield "a text", "true", "wrong_type"
        yield "a number", 1, "wrong_type"
        return
    yield "true", True, "wrong_type"
    yield "an array", [1], "wrong_type"
    yield "an object", {"a": 1}, "wrong_type"
    if not feature.may_be_missing:
        yield "null", None, "wrong_type"
    if isinstance(feature, CategoryFeature):
        yield "a number", 1, "wrong_type"
        if feature.other is not None:
            return
        yield "an unknown category", "no such value", "unknown_category"
        yield "a category in the wrong case", feature.values[0].swapcase(), "unknown_category"
        yield "a category with a space", f"{feature.values[0]} ", "unknown_category"
        yield "an empty text", "", "unknown_category"
        yield "a text of 10,000 characters", "x" * 10_000, "unknown_category"
        yield "markup", "<script>alert(1)</script>", "unknown_category"
        return
    if isinstance(feature, DateFeature):
        yield "a number", 20240229, "wrong_type"
        yield "a day that does not exist", "2023-02-29", "wrong_format"
        yield "a date without hyphens", "20240229", "wrong_format"
        yield "a date with a time", "2024-02-29T00:00", "wrong_format"
        yield "a year of five digits", "12024-02-29", "wrong_format"
        yield "before its range", "0001-01-01", "out_of_range"
        yield "after its range", "9999-12-31", "out_of_range"
        return
    yield "a number as text", str(feature.example), "wrong_type"
    yield "a text", "x", "wrong_type"
    if isinstance(feature, OrdinalFeature):
        yield "a level below", -1, "unknown_category"
        yield "a level above", len(feature.levels), "unknown_category"
        yield "a level's text", feature.levels[0], "wrong_type"
        yield "between two levels", 0.5, "wrong_type"
        return
    low, high = feature.range
    yield "below its range", low - 1, "out_of_range"
    yield "above its range", high + 1, "out_of_range"
    yield "enormous", 10**60, "out_of_range"
    if isinstance(feature, IntegerFeature):
        yield "a fraction", feature.example + 0.5, "wrong_type"
    else:
        yield "just above its range", high * (1 + 1e-12) + 1e-12, "out_of_range"
        yield "near the largest number", 1e308, "out_of_range"


def _bad_customers(contract: Contract) -> Iterator[BadRequest]:
    good = dict(contract.example)
    required = [f.name for f in contract.features if not f.may_be_missing]
    first, last = contract.features[0].name, contract.features[-1].name
    yield _invalid("an empty object", {}, {f"/{name}": "missing" for name in required})
    for name, document in (
        ("an array to the route of one", [good]),
        ("null", None),
        ("a text", "customer"),
        ("a number", 5),
        ("a boolean", True),
    ):
        yield _invalid(f"{name} instead of a customer", document, {"": "wrong_type"})
    for name, key, pointer in (
        ("an unknown field", "no_such_field", "/no_such_field"),
        ("the target as a field", contract.target.name, f"/{contract.target.name}"),
        ("a field with a leading space", f" {first}", f"/ {first}"),
        ("a field in capitals", first.upper(), f"/{first.upper()}"),
        ("an empty field name", "", "/"),
        ("a field name with a slash", "a/b", "/a~1b"),
        ("a field name with a tilde", "a~b", "/a~0b"),
        ("a field name of 10,000 characters", "n" * 10_000, "/" + "n" * 64),
        ("a field named as Python's insides", "__class__", "/__class__"),
        ("a field name beyond ASCII", "größe", "/größe"),
    ):
        yield _invalid(name, {**good, key: 1}, {pointer: "unknown_field"})
    yield _invalid(
        "two faults at once",
        {**good, first: True, last: []},
        {f"/{first}": "wrong_type", f"/{last}": "wrong_type"},
    )
    misspelt = {key: value for key, value in good.items() if key != first} | {f"{first}_": 1}
    yield _invalid(
        "a misspelt field", misspelt, {f"/{first}": "missing", f"/{first}_": "unknown_field"}
    )
    every: dict[str, Any] = {name: {} for name in contract.feature_names}
    yield _invalid(
        "every field wrong", every, {f"/{name}": "wrong_type" for name in contract.feature_names}
    )
    yield BadRequest(
        "more faults than are told",
        422,
        "invalid_customer",
        json.dumps({**good, **{f"field_{i}": i for i in range(10 * MAX_ERRORS)}}).encode(),
        pointers=None,
    )


def _bad_batches(contract: Contract) -> Iterator[BadRequest]:
    good = dict(contract.example)
    path, first = "/predict/batch", contract.features[0].name
    bad = {**good, first: True}
    yield _invalid("a batch of none", [], {"": "too_few"}, path)
    yield _invalid("a batch of 1,001", [good] * 1001, {"": "too_many"}, path)
    for name, document in (
        ("one customer", good),
        ("null", None),
        ("a text", "customers"),
        ("a number", 1),
    ):
        yield _invalid(f"{name} instead of a batch", document, {"": "wrong_type"}, path)
    for name, item in (("null", None), ("an array", [good]), ("a text", "x"), ("a number", 0)):
        yield _invalid(f"{name} in a batch", [good, item], {"/1": "wrong_type"}, path)
    for position in (0, 3, 999):
        batch = [good] * position + [bad] + [good] * (999 - position)
        faults = {f"/{position}/{first}": "wrong_type"}
        yield _invalid(f"customer {position} of a batch is bad", batch, faults, path)
    yield _invalid(
        "two customers of a batch are bad",
        [bad, good, bad],
        {f"/0/{first}": "wrong_type", f"/2/{first}": "wrong_type"},
        path,
    )
    yield BadRequest(
        "all customers of a batch are bad",
        422,
        "invalid_customer",
        json.dumps([bad] * 1000).encode(),
        path,
        pointers=tuple(f"/{i}/{first}" for i in range(MAX_ERRORS)),
    )
    for name, body, code in (
        ("broken off", b"[" + json.dumps(good).encode() + b",", "malformed_json"),
        ("empty", b"", "empty_body"),
        ("with a duplicate key", b'[{"a": 1, "a": 2}]', "duplicate_key"),
    ):
        yield BadRequest(f"a batch {name}", 400, code, body, path)


def _bad_json(contract: Contract) -> Iterator[BadRequest]:
    good = json.dumps(contract.example).encode()
    first = contract.features[0].name
    for name, body, code in (
        ("an empty body", b"", "empty_body"),
        ("a body of white space", b" \r\n\t ", "empty_body"),
        ("an object that breaks off", good[:-1], "malformed_json"),
        ("a text that breaks off", b'{"a', "malformed_json"),
        ("a comma too many", good[:-1] + b",}", "malformed_json"),
        ("single quotes", good.replace(b'"', b"'"), "malformed_json"),
        ("a comment", b"/* customer */ " + good, "malformed_json"),
        ("text after the document", good + b" and more", "malformed_json"),
        ("two documents", good + b"\n" + good, "malformed_json"),
        ("a byte order mark", b"\xef\xbb\xbf" + good, "malformed_json"),
        ("a key without quotes", b"{age: 1}", "malformed_json"),
        ("a leading zero", b'{"a": 01}', "malformed_json"),
        ("a plus sign", b'{"a": +1}', "malformed_json"),
        ("a hexadecimal number", b'{"a": 0x10}', "malformed_json"),
        ("a number with a bare point", b'{"a": 1.}', "malformed_json"),
        ("Python's None", b'{"a": None}', "malformed_json"),
        ("a zero byte", b"\x00", "malformed_json"),
        ("a control character in a text", b'{"a": "\x01"}', "malformed_json"),
        ("an unknown escape", b'{"a": "\\x41"}', "malformed_json"),
        ("XML", b"<customer/>", "malformed_json"),
        ("a form", b"a=1&b=2", "malformed_json"),
        ("UTF-16", good.decode().encode("utf-16"), "not_utf8"),
        ("UTF-32", good.decode().encode("utf-32-le"), "malformed_json"),
        ("a Latin-1 letter", b'{"a": "\xe4"}', "not_utf8"),
        ("an overlong encoding", b'{"a": "\xc0\xaf"}', "not_utf8"),
        ("an encoded surrogate", b'{"a": "\xed\xa0\x80"}', "not_utf8"),
        ("half a surrogate pair", b'{"a": "\\ud800"}', "not_utf8"),
        ("half a surrogate pair in a key", b'{"\\udc00": 1}', "not_utf8"),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "not_utf8"),
        ("a key twice", b'{"a": 1, "a": 1}', "duplicate_key"),
        ("a key twice, once escaped", b'{"a": 1, "\\u0061": 1}', "duplicate_key"),
        ("a key twice further in", b'{"a": [{"b": 1, "b": 1}]}', "duplicate_key"),
        ("NaN by itself", b"NaN", "not_a_number"),
        ("Infinity further in", b'{"a": [Infinity]}', "not_a_number"),
        ("17 arrays", b"[" * 17 + b"]" * 17, "too_deep"),
        ("17 objects", b'{"a":' * 17 + b"1" + b"}" * 17, "too_deep"),
        ("20,000 open arrays", b"[" * 20_000, "too_deep"),
        ("a number of 65 digits", b"1" * 65, "number_too_long"),
        ("a number of 60,000 digits", b"1" * 60_000, "number_too_long"),
        ("a number beyond the largest", b'{"a": 1e999}', "number_too_long"),
        ("a long fraction", f'{{"{first}": 0.{"1" * 80}}}'.encode(), "number_too_long"),
    ):
        yield BadRequest(f"JSON: {name}", 400, code, body)


def _bad_declarations(contract: Contract) -> Iterator[BadRequest]:
    good = json.dumps(contract.example).encode()
    for declared in (
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "application/problem+json",
        "application/octet-stream",
        "json",
        "nonsense",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        'application/json; charset=""',
        ";;;",
    ):
        yield BadRequest(
            f"Content-Type {declared!r}",
            415,
            "unsupported_content_type",
            good,
            headers=(("Content-Type", declared),),
        )
    yield BadRequest("no Content-Type", 415, "unsupported_content_type", good, headers=())
    for encoding in ("gzip", "br", "deflate", "zstd", "identity, gzip", "nonsense"):
        yield BadRequest(
            f"Content-Encoding {encoding}",
            415,
            "unsupported_content_encoding",
            good,
            headers=(JSON, ("Content-Encoding", encoding)),
        )
    yield BadRequest(
        "a batch as plain text",
        415,
        "unsupported_content_type",
        good,
        "/predict/batch",
        headers=(("Content-Type", "text/plain"),),
    )


def _bad_idempotency_keys(contract: Contract) -> Iterator[BadRequest]:
    good = json.dumps(contract.example).encode()
    for name, key in (
        ("empty", ""),
        ("of 256 characters", "k" * 256),
        ("of 4,000 characters", "k" * 4000),
        ("with a space", "a b"),
        ("with a tab", "a\tb"),
        ("beyond ASCII", "schl\xfcssel"),
    ):
        for path, body in (("/predict", good), ("/predict/batch", b"[" + good + b"]")):
            yield BadRequest(
                f"Idempotency-Key {name} to {path}",
                400,
                "invalid_idempotency_key",
                body,
                path,
                headers=(JSON, ("Idempotency-Key", key)),
            )


def _bad_parameters(contract: Contract) -> Iterator[BadRequest]:
    good = json.dumps(contract.example).encode()
    for query in (
        *("explain", "explain=", "explain=0", "explain=true", "explain=01", "explain=%31%31"),
        *("explain=1&explain=1", "%65xplain=yes", "a=1&explain=2", "explain=%ff"),
    ):
        path = f"/predict?{query}"
        yield BadRequest(f"POST to {path}", 400, "invalid_parameter", good, path)
    path, batch = "/predict/batch?explain=1", b"[" + good + b"]"
    yield BadRequest("explained batch", 400, "invalid_parameter", batch, path)


def _bad_sizes(contract: Contract) -> Iterator[BadRequest]:
    good = json.dumps(contract.example).encode()
    one, batch = 64 * 1024, 1024 * 1024
    yield BadRequest("a byte too many", 413, "body_too_large", good.ljust(one + 1))
    yield BadRequest("a MiB to the route of one", 413, "body_too_large", good.ljust(batch))
    many = (b"[" + good + b"]").ljust(batch + 1)
    yield BadRequest("a batch with a byte too many", 413, "body_too_large", many, "/predict/batch")
    nonsense = b"\xff" * (3 * batch)
    yield BadRequest("3 MiB of nonsense", 413, "body_too_large", nonsense, "/predict/batch")


def _bad_paths(contract: Contract) -> Iterator[BadRequest]:
    good = json.dumps(contract.example).encode()
    for path in (
        "/predict/",
        "/predict/batch/",
        "/Predict",
        "/predictions",
        "/feedback/x",
        "/api/predict",
        "/predict%00",
        "/predict%0d%0aX-A:%201",
        "/%ff%fe",
        "/predict;a=1",
        "/" + "a" * 3000,
        "/predict/../predict",
    ):
        yield BadRequest(f"POST to {path[:40]}", 404, "not_found", good, path)
    for path in (
        "/admin",
        "/.env",
        "/static/no_such_file",
        "/static/../predict_api_server.py",
        "/static/%2e%2e/predict_api_server.py",
        "/docs/no_such_file",
        "/docs/../../../../etc/passwd",
        "/docs/%2e%2e/%2e%2e/__init__.py",
        "/docs/..%5c..%5cx",
        "/docs//etc/passwd",
        "/health",
        "/<script>alert(1)</script>",
    ):
        yield BadRequest(f"GET {path}", 404, "not_found", b"", path, "GET", ())


def _bad_methods(contract: Contract) -> Iterator[BadRequest]:
    good = json.dumps(contract.example).encode()
    for path in ("/predict", "/predict/batch"):
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
            body = good if method in {"PUT", "PATCH"} else b""
            name = f"{method} of {path}"
            yield BadRequest(name, 405, "method_not_allowed", body, path, method)
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/health/live", "/health/ready"):
        for method in ("POST", "DELETE"):
            name = f"{method} to {path}"
            yield BadRequest(name, 405, "method_not_allowed", good, path, method)
