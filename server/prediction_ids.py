"""Create prediction ids; a repeated request gets the same ids."""

import json
import os
import re
import uuid

from mlstack.contract.customer_schema import Customer
from mlstack.uuid_text import uuid_text
from mlstack.web.problems import Problem
from server.problems import KINDS

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_NAMESPACE = uuid.UUID("6f0c3a52-6a0e-5c0c-9d3b-0b0f3e1a7c11")
"""Separates our ids from other version 5 UUIDs; must never change."""


class PredictionIds:
    """Creates the ids for one request from its Idempotency-Key.

    Without a key (None), every id is new. Raises Problem if the key is invalid.
    """

    def __init__(self, key: str | None) -> None:
        if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
            raise Problem(
                KINDS["invalid_idempotency_key"],
                "Idempotency-Key must have 1 to 255 visible ASCII characters",
            )
        self._key = key

    def one(self, customer: Customer, run_id: str) -> str:
        """Return the id of one prediction, determined by key, customer and model."""
        if self._key is None:
            return uuid_text(os.urandom(16).hex(), version=4)
        return _named(self._key, customer, run_id, None)

    def batch(self, customers: list[Customer], run_id: str) -> list[str]:
        """Return the ids of a batch; with a key they also depend on the position in the batch."""
        if self._key is None:
            digits = os.urandom(16 * len(customers)).hex()
            return [uuid_text(digits[i : i + 32], version=4) for i in range(0, len(digits), 32)]
        return [_named(self._key, each, run_id, i) for i, each in enumerate(customers)]


def _named(key: str, customer: Customer, run_id: str, position: int | None) -> str:
    # 4000 and 4000.0 are the same number, so they must give the same id.
    values = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in customer.items()
    }
    name = json.dumps([key, run_id, position, values], sort_keys=True)
    return str(uuid.uuid5(_NAMESPACE, name))
