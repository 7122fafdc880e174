"""Write a receipt as text."""

from collections.abc import Iterator, Mapping
from typing import Any

from mlstack.command_line import columns
from mlstack.contract import ChoiceFeature, Contract, Feature
from mlstack.contract.prediction_fields import (
    CREATED_AT,
    DECISION,
    KEY,
    MORE,
    PREDICTION,
    PROBABILITIES,
    RESERVED_NAMES,
    RUN_ID,
    SEQUENCE_NUMBER,
    SHARD_ID,
    SOURCE,
    TARGET,
    TARGET_AT,
)
from mlstack.contract.target import MulticlassTarget
from mlstack.prediction_log.prediction import ID
from operations.receipts.origin import Origin
from operations.receipts.receipt import Receipt

_WIDTH = 16
_TIME = "%Y-%m-%d %H:%M:%S UTC"


def receipt_lines(receipt: Receipt) -> Iterator[str]:
    """Yield a receipt's lines."""
    contract = receipt.model.contract if receipt.model else None
    for name, value in _facts(receipt, contract):
        yield f"{name:<{_WIDTH}}{value}".rstrip()
    yield ""
    yield from _customer(receipt, contract)
    yield ""
    yield _verdict(receipt)


def _facts(receipt: Receipt, contract: Contract | None) -> Iterator[tuple[str, object]]:
    document, origin = receipt.kept.document, receipt.origin
    more = document.get(MORE, {})
    yield "prediction", document[ID]
    yield "made", f"{document[CREATED_AT]:{_TIME}}, by {_source(document)}"
    yield "kept", receipt.kept.place
    yield "answer", _answer(document, contract)
    if DECISION in more:
        yield "decision", _plain(more[DECISION])
    if KEY in more:
        yield "key", more[KEY]
    yield "outcome", _outcome(document, contract)
    yield "run", document.get(RUN_ID)
    if not isinstance(origin, Origin):
        yield "", f"its table and code are not known: {origin}"
        return
    yield "", origin.page
    yield "version", "; ".join(origin.versions) or "not registered"
    if origin.trained_at:
        yield "trained", f"{origin.trained_at:{_TIME}}"
    yield "table", f"{origin.table}, {origin.table_key}"
    yield "code", origin.revision


def _customer(receipt: Receipt, contract: Contract | None) -> Iterator[str]:
    document, why = receipt.kept.document, receipt.explanation
    if contract is None:
        for name, value in document.items():
            if name not in {*RESERVED_NAMES, ID, MORE}:
                yield f"{name}: {_plain(value)}"
        return
    rows = [("customer", "", "contributes" if why else "")]
    for feature in contract.features:
        value = _of_feature(feature, document.get(feature.name))
        amount = why.contributions.get(feature.name) if why else None
        rows.append((feature.meaning, value, "" if amount is None else f"{amount:+.6f}"))
    if why:
        rows.append(("before anything is known", "", f"{why.base:+.6f}"))
        rows.append((f"margin{f' of {why.label}' if why.label else ''}", "", f"{why.margin:+.6f}"))
    yield from columns(rows, "<<>")
    if why:
        yield f"The margin is {contract.target.margin_meaning}."


def _verdict(receipt: Receipt) -> str:
    again = receipt.again
    said = "" if again is None else f"; now it says {_answer_of(again.prediction)}"
    if receipt.difference:
        return f"scored again: NOT EQUAL: {receipt.difference}{said}"
    return "scored again: equal, bit for bit"


def _source(document: Mapping[str, Any]) -> str:
    place = [str(document[name]) for name in (SHARD_ID, SEQUENCE_NUMBER) if name in document]
    return ", ".join([str(document.get(SOURCE)), *place])


def _answer(document: Mapping[str, Any], contract: Contract | None) -> str:
    name = contract.answer if contract else PREDICTION
    answer = f"{name}: {_answer_of(document.get(PREDICTION))}"
    probabilities = document.get(MORE, {}).get(PROBABILITIES)
    if probabilities and contract and isinstance(contract.target, MulticlassTarget):
        each = zip(contract.target.classes, probabilities, strict=False)
        answer += f" ({', '.join(f'{label} {_answer_of(chance)}' for label, chance in each)})"
    return answer


def _answer_of(value: Any) -> str:
    # All bits of a number: this is what is compared.
    return repr(value) if isinstance(value, float) else str(value)


def _outcome(document: Mapping[str, Any], contract: Contract | None) -> str:
    if TARGET not in document:
        return "not known"
    value = document[TARGET]
    name = contract.target.name if contract else TARGET
    shown = _plain(contract.target.reported(value) if contract else value)
    at = document.get(TARGET_AT)
    return f"{name}: {shown}{f', reported {at:{_TIME}}' if at else ''}"


def _of_feature(feature: Feature, value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(feature, ChoiceFeature) and value in feature.values:
        return feature.labels[feature.values.index(value)]
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
