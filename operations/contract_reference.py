"""Write the reference of contracts, docs/contract.md, from the contract's own model.

Usage: python -m operations.contract_reference
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from mlstack.command_line import run, say
from mlstack.contract import Contract
from mlstack.errors import listing
from mlstack.files import write_atomically
from mlstack.settings import ROOT

FILE = ROOT / "docs" / "contract.md"

_HEAD = """# Contract reference

A contract is one YAML file in `contracts/` that describes a table. `make contract` drafts one, see
[Bring your own data](../README.md#bring-your-own-data); `contracts/credit_card_churn.yaml` is
written by hand. An unknown key, a duplicate, an empty range and the like are refused with file,
line and reason.

This page is generated from the model in `mlstack/contract/`; do not edit it.
"""
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}


def reference() -> str:
    """Build the page."""
    schema = Contract.model_json_schema()
    definitions = schema["$defs"]
    sections = [_section("Contract", Contract, schema, definitions)]
    for model in dict.fromkeys(_models(Contract)):
        own = definitions.get(model.__name__) or model.model_json_schema()
        sections.append(_section(_title(own), model, own, definitions))
    return "\n".join([_HEAD, *sections])


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the models that a model's fields are made of, in their order."""
    for field in model.model_fields.values():
        for found in _classes([field.annotation]):
            yield from reversed(_bases(found))
            yield found
            yield from _models(found)


def _classes(parts: list[Any]) -> Iterator[type[BaseModel]]:
    for part in parts:
        if inspect.isclass(part) and issubclass(part, BaseModel):
            yield part
        else:
            yield from _classes(list(get_args(part)))


def _bases(model: type[BaseModel]) -> list[type[BaseModel]]:
    """List the bases of a model that only serve several kinds of one thing."""
    return [b for b in model.__mro__ if issubclass(b, BaseModel) and b.__name__.startswith("_")]


def _title(schema: dict[str, Any]) -> str:
    kind = schema["properties"].get("kind", {}).get("const")
    if schema["title"].startswith("_"):
        return f"Every {schema['title'].removeprefix('_').removesuffix('Base').lower()}"
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in schema["title"]).strip()
    return f"{words[:1].upper()}{words[1:]}" + (f" (`kind: {kind}`)" if kind else "")


def _section(
    title: str, model: type[BaseModel], schema: dict[str, Any], definitions: dict[str, Any]
) -> str:
    texts, required = _texts(model), schema.get("required", ())
    lines = [f"## {title}", "", inspect.getdoc(model) or "", "", "| Key | Value | Meaning |"]
    lines.append("|---|---|---|")
    shared = {name for base in _bases(model) if base is not model for name in base.model_fields}
    for name, field in schema["properties"].items():
        if name == "kind" or name in shared:
            continue
        value = _value(field, definitions)
        if name not in required:
            value += f"; optional{_default(field)}"
        lines.append(f"| `{name}` | {value} | {texts.get(name, '')} |".replace("\n", " "))
    return "\n".join([*lines, ""])


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    return f" (`{default}`)" if default not in (None, "", []) else ""


def _value(  # noqa: PLR0911 - one return for each form of a value
    field: dict[str, Any], definitions: dict[str, Any]
) -> str:
    """Describe what a key's value may be."""

    def inner(schema: dict[str, Any]) -> str:
        return _value(schema, definitions)

    match field:
        case {"$ref": reference}:
            named = definitions[reference.rsplit("/", 1)[-1]]
            return f"[{_title(named).split(' (')[0].lower()}](#{_anchor(named)})"
        case {"anyOf": options} | {"oneOf": options}:
            given = (inner(each) for each in options if each.get("type") != "null")
            return " or ".join(dict.fromkeys(given))
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"type": "array", "prefixItems": parts}:
            return f"[{', '.join(map(inner, parts))}]"
        case {"type": "array", "items": item}:
            least = f", at least {field['minItems']}" if field.get("minItems", 0) > 1 else ""
            return f"list of {inner(item)}{least}"
        case {"type": "object", "additionalProperties": item}:
            return f"for each raw value: {inner(item)}"
    return _TYPES[field["type"]] + _limits(field)


def _anchor(schema: dict[str, Any]) -> str:
    kept = "".join(c for c in _title(schema).lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def _limits(field: dict[str, Any]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maxLength": "up to"}
    limits = [f"{word} {field[key]}" for key, word in words.items() if key in field]
    if field.get("pattern", "").startswith("^[a-z]"):
        limits.append("lower-case letters, digits and `_`")
    return f" ({listing(limits)})" if limits else ""


def _texts(model: type[BaseModel]) -> dict[str, str]:
    """Read the texts that stand below the fields of a model and of its bases."""
    texts: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not (issubclass(each, BaseModel) and each.__module__.startswith("mlstack.contract")):
            continue
        [body] = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(body, ast.ClassDef)  # noqa: S101 - the source of a class
        for field, text in zip(body.body, body.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(str(found))):
                    texts[name] = " ".join(found.split())
    return texts


def main() -> None:
    """Write the page."""
    write_atomically(FILE, reference().encode())
    say(f"Wrote {FILE.relative_to(ROOT)}")


if __name__ == "__main__":
    run(main)
