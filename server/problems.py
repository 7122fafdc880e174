"""What can be wrong with a request, as `application/problem+json` (RFC 9457)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from flask import Response

from mlstack.errors import FieldError, InvalidCustomer, InvalidRequest, MlstackError
from mlstack.settings import ROOT, Settings
from mlstack.web.strict_json import InvalidJson

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem; clients may rely on code and status.

    Args:
        code: Its stable name.
        status: HTTP status that it is answered with.
        title: The same sentence for every problem of the kind.
    """

    code: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """URI of its description."""
        return f"/docs#problem-{self.code}"


KINDS = {
    kind.code: kind
    for kind in (
        Kind("empty_body", 400, "The body is empty."),
        Kind("not_utf8", 400, "The body is not UTF-8."),
        Kind("malformed_json", 400, "The body is not valid JSON."),
        Kind("duplicate_key", 400, "An object in the body has the same key twice."),
        Kind("not_a_number", 400, "The body has NaN or Infinity, which JSON does not know."),
        Kind("too_deep", 400, "The body nests too deeply."),
        Kind("number_too_long", 400, "A number of the body is too long or too large."),
        Kind("incomplete_body", 400, "The body broke off, or is not framed as HTTP asks."),
        Kind("invalid_idempotency_key", 400, "The Idempotency-Key cannot be used."),
        Kind("unauthorized", 401, "The token is missing or wrong."),
        Kind("not_found", 404, "There is nothing at this path."),
        Kind("method_not_allowed", 405, "The path does not take this method."),
        Kind("body_too_slow", 408, "The body did not arrive in time."),
        Kind("body_too_large", 413, "The body is too large."),
        Kind("unsupported_content_type", 415, "The body is not declared as JSON in UTF-8."),
        Kind("unsupported_content_encoding", 415, "The body is compressed or otherwise encoded."),
        Kind(
            "invalid_customer", 422, "The body does not describe a customer that the model knows."
        ),
        Kind("invalid_feedback", 422, "The body does not describe the outcome of a prediction."),
        Kind("internal_error", 500, "The server has a defect."),
        Kind("not_ready", 503, "No model is in service."),
        Kind("not_kept", 503, "The prediction log cannot be written."),
        Kind("overloaded", 503, "More requests came than can be answered in time."),
    )
}
"""Every kind of problem by its code."""

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


class Problem(MlstackError):
    """A request that is not answered as it asked.

    Args:
        code: One of `KINDS`.
        detail: This very problem as a sentence.
        headers: For the response.
    """

    def __init__(self, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.kind, self.detail, self.headers = KINDS[code], detail, headers or {}
        super().__init__(detail)


def from_error(error: InvalidJson | InvalidRequest, request_id: str) -> Response:
    """Answer to a body that is not JSON, or not what the route takes."""
    if isinstance(error, InvalidJson):
        return response(KINDS[error.code], error.detail, request_id)
    count = len(error.errors)
    detail = "one fault, see errors" if count == 1 else f"{count} faults, see errors"
    kind = KINDS["invalid_customer" if isinstance(error, InvalidCustomer) else "invalid_feedback"]
    return response(kind, detail, request_id, errors=error.errors)


def response(
    kind: Kind,
    detail: str,
    request_id: str,
    *,
    errors: tuple[FieldError, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem as it is answered."""
    document = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": kind.code,
        "request_id": request_id,
        "errors": [
            {"pointer": error.pointer, "code": error.code, "detail": error.detail}
            for error in errors
        ],
    }
    body = json.dumps(document).encode()
    return Response(body, kind.status, dict(headers or {}), content_type=CONTENT_TYPE)


def without_folders(sentence: str, settings: Settings) -> str:
    """A sentence for clients: where this server keeps its files is none of their business.

    Args:
        sentence: May name files.
        settings: Where they can be.

    Returns:
        The same with their paths as they are from the project's root or, outside of it, from
        the folder that a setting names.
    """
    for folder in (ROOT, settings.state_path, settings.contract_path.parent):
        sentence = re.sub(rf"(?<![\w./-]){re.escape(str(folder))}/", "", sentence)
    return sentence


def http_kind(status: int) -> Kind:
    """The kind of what HTTP itself refuses: a path, a method, a range."""
    if status in _HTTP_CODES:
        return KINDS[_HTTP_CODES[status]]
    phrase = HTTPStatus(status).phrase
    return Kind(phrase.lower().replace(" ", "_").replace("-", "_"), status, f"{phrase}.")
