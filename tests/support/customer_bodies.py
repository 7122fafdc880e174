"""Request bodies with customers, as callers write them and as nobody should."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator

WRITINGS: tuple[Callable[[Any], str], ...] = (
    json.dumps,
    lambda document: json.dumps(document, separators=(",", ":")),
    lambda document: json.dumps(document, indent=2),
    lambda document: json.dumps(document, indent="\t").replace("\n", "\r\n") + "\r\n",
    lambda document: json.dumps(document, ensure_ascii=False, sort_keys=True),
    lambda document: json.dumps(document, separators=(" ,", " : ")).replace("/", r"\/"),
)
"""Usual writings of a JSON document."""

ODD_VALUES = (
    *("null", "true", "false", "[]", "{}", "[1]", '{"a": 1}', '"x"', '""', '" "', "0", "1", "-1"),
    *("50.0", "5e1", "5E+1", "500e-1", "50.5", "-0", "-0.0", "1e-400", "1e400", "-1e400", "0.1e1"),
    *("NaN", "Infinity", "-Infinity", "nan", "None", "True", "01", "-01", "+1", "1.", ".5", "1e"),
    *("0x10", "1_000", "--1", "-", "1" * 64, "1" * 65, "-" + "1" * 63, "-" + "1" * 64),
    *("2." + "0" * 62, "2." + "0" * 63, "0." + "0" * 100 + "1", "1" + "0" * 5000 + "e-4999"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809"),
    *("18446744073709551616", "9007199254740993", "1" + "0" * 30, "4.35", "0.1", "1e22", "1e23"),
    *("2.2250738585072011e-308", "5e-324", "1.7976931348623157e308", "9007199254740993.0"),
    *(r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\ude00"', r'"\u003a"', r'"\u003A"', '":"'),
    *(r'"\\u003a"', r'"a\":\"b"', r'"\x41"', r'"\u00e4"', '"ä"', '"a\nb"', '"\x00"', '"\x7f"'),
    *(r'"\/"', r'"\b\f\n\r\t"', '"open', r'"\"', r'"\u12"', '"' + "x" * 255 + '"'),
    *('"' + "x" * 256 + '"', '"' + "😀" * 255 + '"', '"' + "1" * 80 + '"', '": -' + "1" * 70 + '"'),
    *('"2024-02-29"', '"2023-02-29"', '"20240229"', '"2024-2-29"', '"2024-02-29T00:00"'),
    *('"0000-01-01"', '"0001-01-01"', '"9999-12-31"', r'"2024\u002d02-29"', '"\uff1224-02-29"'),
    *("[" * 50, "[" * 5000, '{"a":' * 17 + "1" + "}" * 17, "/* */ 1", "1 2", "1}", ""),
)
"""JSON values, and texts that are none, which may be right for some feature."""


def valid_customers(contract: Contract, count: int, draws: random.Random) -> list[dict[str, Any]]:
    """Draw customers with everything that the contract allows, in requests' order."""
    anyone = contract.model_copy(update={"data": contract.data.model_copy(update={"sample": None})})
    drawn = CustomerGenerator(anyone, draws.randrange(2**32)).draw(count)
    return [_varied(contract, customer, draws) for customer in drawn]


def _varied(
    contract: Contract, customer: Mapping[str, Any], draws: random.Random
) -> dict[str, Any]:
    varied = dict(customer)
    for feature in contract.features:
        if feature.may_be_missing and draws.random() < 0.3:
            if draws.random() < 0.5:
                varied[feature.name] = None
            else:
                del varied[feature.name]
        elif feature.kind == "category" and feature.other and draws.random() < 0.5:
            varied[feature.name] = draws.choice(["a:b", "größe", "😀", "\\", '"', "N/A", "\t"])
        elif feature.kind in {"number", "integer"} and draws.random() < 0.3:
            value = varied[feature.name]
            other = int(value) if feature.kind == "number" else float(value)
            low, high = feature.range
            if low <= other <= high and abs(other) < 2**63:  # larger ints are rare
                varied[feature.name] = other
    if contract.key is not None and draws.random() < 0.8:
        varied[contract.key.name] = draws.choice(["k:1", "4711", "ключ", "1" * 40, "x" * 255])
    if draws.random() < 0.3:
        names = list(varied)
        draws.shuffle(names)
        return {name: varied[name] for name in names}
    return varied


def any_body(customer: Mapping[str, Any], draws: random.Random) -> bytes:
    """Write a customer with as many as three faults or oddities, sometimes none."""
    ascii_only = draws.random() < 0.5
    pairs = [[json.dumps(k), json.dumps(v, ensure_ascii=ascii_only)] for k, v in customer.items()]
    for _ in range(draws.choice([0, 1, 1, 2, 3])):
        draws.choice(_MUTATIONS)(pairs, draws)
    space = draws.choice(["", "", " ", "\n  ", "\r\n\t", "\x0b", "\xa0"][: draws.choice([5, 7])])
    members = (f"{key}{space}:{space}{value}" for key, value in pairs)
    body = f"{{{f',{space}'.join(members)}}}"
    encoded = bytearray(body.encode("utf-8", "surrogatepass"))
    if draws.random() < 0.1:
        _damage(encoded, draws)
    if draws.random() < 0.03:
        encoded[:0] = draws.choice([b"\xef\xbb\xbf", b" ", b"\n\t\r ", b"\x00", b"//\n"])
    if draws.random() < 0.03:
        encoded += draws.choice([b" ", b"\n", b"\x00", b"x", b",", b"}", bytes(encoded)])
    return bytes(encoded)


def any_batch(customers: Sequence[Mapping[str, Any]], draws: random.Random) -> bytes:
    """Write an array of as many as 4 customers, of which few have faults."""
    bodies = [
        any_body(customer, draws)
        if draws.random() < 0.1
        else draws.choice(WRITINGS)(customer).encode()
        for customer in draws.choices(customers, k=draws.randrange(5))
    ]
    return b"[" + draws.choice([b",", b", ", b"\n,"]).join(bodies) + b"]"


def _odd_value(pairs: list[list[str]], draws: random.Random) -> None:
    if pairs:
        draws.choice(pairs)[1] = draws.choice(ODD_VALUES)


def _duplicate(pairs: list[list[str]], draws: random.Random) -> None:
    if pairs:
        key, value = draws.choice(pairs)
        pairs.insert(draws.randrange(len(pairs) + 1), [key, draws.choice([value, "null", "1"])])


def _drop(pairs: list[list[str]], draws: random.Random) -> None:
    if pairs:
        del pairs[draws.randrange(len(pairs))]


def _unknown(pairs: list[list[str]], draws: random.Random) -> None:
    names = ("x", "", "a:b", "__class__", "größe", pairs[0][0][1:-1].upper() if pairs else "y")
    pairs.append([json.dumps(draws.choice(names)), draws.choice(["1", "null", '"a:b"', "[{}]"])])


def _swap_values(pairs: list[list[str]], draws: random.Random) -> None:
    if pairs:
        one, other = draws.choice(pairs), draws.choice(pairs)
        one[1], other[1] = other[1], one[1]


def _escape(pairs: list[list[str]], draws: random.Random) -> None:
    """Write a character of a text as an escape: the same key or value."""
    if pairs:
        pair, part = draws.choice(pairs), draws.randrange(2)
        text = pair[part]
        if text[:1] == '"' and len(text) > 2 and "\\" not in text:
            at = draws.randrange(1, len(text) - 1)
            if ord(text[at]) < 0x10000:
                pair[part] = f"{text[:at]}\\u{ord(text[at]):04x}{text[at + 1 :]}"


def _spell(pairs: list[list[str]], draws: random.Random) -> None:
    """Write a number in another way: the same value, or one close to it."""
    numbers = [pair for pair in pairs if pair[1][:1] in "-0123456789" and pair[1]]
    if numbers:
        pair = draws.choice(numbers)
        forms = ("{}.0", "{}e0", "{}E+00", "{}.5", "-{}", "{}0", "{}e1", "{}000000000000000000000")
        pair[1] = draws.choice(forms).format(pair[1])


_MUTATIONS = (_odd_value, _odd_value, _duplicate, _drop, _unknown, _swap_values, _escape, _spell)


def _damage(body: bytearray, draws: random.Random) -> None:
    at = draws.randrange(len(body))
    kind = draws.randrange(4)
    if kind == 0:
        body[at] = draws.randrange(256)
    elif kind == 1:
        del body[at]
    elif kind == 2:
        body.insert(at, draws.choice(b'":,{}[]\\\x00\x80\xc0\xed\xff 0-e.'))
    else:
        del body[at:]


ODD_CONTRACT = """\
name: odd
description: Names, values and ranges that are allowed and that nobody uses.
answer: chance
data: {key: odd/odd.csv}
clean_up: {}
split: {train: 0.6, validation: 0.2, test: 0.2, seed: 7}
key: {name: def}
target: {name: returned, raw: Back, positive: "yes", negative: "no", meaning: Back.}
features:
  - {name: class, kind: integer, range: [-9007199254740992, 9007199254740992], missing: allow,
     meaning: m, example: 2}
  - {name: none, kind: number, range: [-3.0e+38, 3.0e+38], missing: refuse, meaning: m,
     example: 1.5}
  - {name: copy, kind: number, range: [0.2, 0.7], missing: allow, meaning: m, example: 0.5}
  - {name: self, kind: number, range: [1.0e+20, 1.0e+30], missing: refuse, meaning: m,
     example: 2.0e+20}
  - {name: f_, kind: category, values: ["a:b", "größe", "😀", "N/A", '"', '\\', "null", "1"],
     missing: refuse, meaning: m, example: "N/A"}
  - {name: import, kind: category, values: [x, "y:z"], other: x, missing: refuse, meaning: m,
     example: x, raw_values: {Y: "y:z"}}
  - {name: "true", kind: boolean, missing: refuse, meaning: m, example: true}
  - {name: return, kind: ordinal, levels: [low, high], raw_values: {l: 0, h: 1}, missing: refuse,
     meaning: m, example: 1}
  - {name: lambda, kind: date, range: [0001-01-01, 9999-12-31], since: with, missing: refuse,
     meaning: m, example: 2024-02-29}
  - {name: with, kind: date, range: [2024-02-28, 2024-03-01], missing: allow, meaning: m,
     example: 2024-02-29}
"""
"""Every kind of feature, required and optional."""
