"""The forms in which the servers take customers and give predictions."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

from mlstack.contract.customer_schema import Customer
from mlstack.model.encoder import Encoder


class Form(Protocol):
    """How one kind of server writes requests and answers."""

    def one(self, customer: Customer) -> bytes:
        """Write the body of a request with one customer."""

    def many(self, customers: Sequence[Customer]) -> bytes:
        """Write the body of a request with a batch."""

    def predictions(self, answer: Any) -> list[float]:
        """Read the predictions of the answer to either."""


class Objects:
    """One JSON object a customer, in an array for a batch; so are the answers.

    Args:
        key: Where an answer has its prediction.
    """

    def __init__(self, key: str = "prediction") -> None:
        self._key = key

    def one(self, customer: Customer) -> bytes:
        """See `Form`."""
        return json.dumps(customer).encode()

    def many(self, customers: Sequence[Customer]) -> bytes:
        """See `Form`."""
        return json.dumps(customers).encode()

    def predictions(self, answer: Any) -> list[float]:
        """See `Form`."""
        return [each[self._key] for each in (answer if isinstance(answer, list) else [answer])]


class BentoForm:
    """BentoML's: each argument of the service has a name; the answer is the result."""

    def one(self, customer: Customer) -> bytes:
        """See `Form`."""
        return json.dumps({"customer": customer}).encode()

    def many(self, customers: Sequence[Customer]) -> bytes:
        """See `Form`."""
        return json.dumps({"customers": customers}).encode()

    def predictions(self, answer: Any) -> list[float]:
        """See `Form`."""
        return answer if isinstance(answer, list) else [answer]


class LitForm(Objects):
    """That of the application in `apps/litserve_service.py`: one object in the answer."""

    def predictions(self, answer: Any) -> list[float]:
        """See `Form`."""
        found: list[float] = answer["predictions"]
        return found


class _Encoded(ABC):
    """Forms of servers that take the encoded matrix: the client encodes, and nothing is checked."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def one(self, customer: Customer) -> bytes:
        """See `Form`."""
        return self.many([customer])

    def many(self, customers: Sequence[Customer]) -> bytes:
        """See `Form`."""
        return json.dumps(self._document(self._encoder.encode(customers).tolist())).encode()

    @abstractmethod
    def _document(self, rows: list[list[float]]) -> Any:
        """Return the document with the encoded rows."""


class InferenceProtocol(_Encoded):
    """The open inference protocol (V2) that MLServer speaks."""

    def _document(self, rows: list[list[float]]) -> Any:
        flat = [value for row in rows for value in row]
        shape = [len(rows), len(self._encoder.columns)]
        tensor = {"name": "customers", "datatype": "FP32", "shape": shape, "data": flat}
        return {"inputs": [tensor]}

    def predictions(self, answer: Any) -> list[float]:
        """See `Form`."""
        found: list[float] = answer["outputs"][0]["data"]
        return found


class DataframeSplit(_Encoded):
    """What `mlflow models serve` takes."""

    def _document(self, rows: list[list[float]]) -> Any:
        return {"dataframe_split": {"columns": list(self._encoder.columns), "data": rows}}

    def predictions(self, answer: Any) -> list[float]:
        """See `Form`."""
        found: list[float] = answer["predictions"]
        return found
