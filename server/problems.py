"""The HTTP server's kinds of problems, and the problem for each exception."""

import logging
import re

from werkzeug.exceptions import HTTPException

from mlstack.errors import ContractError, InvalidCustomer, InvalidRequest
from mlstack.prediction_log.segment import SpoolError
from mlstack.settings import ROOT, Settings
from mlstack.web.problems import Kind, Problem, http_kind, http_problem
from mlstack.web.request_checks import RequestRefused
from mlstack.web.strict_json import InvalidJson
from server.explainer import NotExplained

log = logging.getLogger(__name__)

RETRY_SOON = {"Retry-After": "5"}
"""Header of problems that should be over within seconds."""


def _kind(code: str, status: int, title: str) -> Kind:
    return Kind(code, status, title, f"/docs#problem-{code}")


KINDS = {
    kind.code: kind
    for kind in (
        _kind("empty_body", 400, "The body is empty."),
        _kind("not_utf8", 400, "The body is not UTF-8."),
        _kind("malformed_json", 400, "The body is not valid JSON."),
        _kind("duplicate_key", 400, "An object in the body has the same key twice."),
        _kind("not_a_number", 400, "The body has NaN or Infinity, which JSON does not allow."),
        _kind("too_deep", 400, "The body nests too deeply."),
        _kind("number_too_long", 400, "A number in the body is too long or too large."),
        _kind("incomplete_body", 400, "The body is incomplete or not framed as HTTP requires."),
        _kind("invalid_idempotency_key", 400, "The Idempotency-Key cannot be used."),
        _kind("invalid_parameter", 400, "A parameter of the query cannot be used."),
        _kind("unauthorized", 401, "The token is missing or wrong."),
        _kind("not_found", 404, "There is nothing at this path."),
        _kind("method_not_allowed", 405, "The path does not support this method."),
        _kind("body_too_slow", 408, "The body did not arrive in time."),
        _kind("body_too_large", 413, "The body is too large."),
        _kind("unsupported_content_type", 415, "The body is not declared as JSON in UTF-8."),
        _kind("unsupported_content_encoding", 415, "The body is compressed or otherwise encoded."),
        _kind("invalid_customer", 422, "The body does not describe a valid customer of the model."),
        _kind("invalid_feedback", 422, "The body does not describe the outcome of a prediction."),
        _kind("internal_error", 500, "The server met an unexpected error."),
        _kind("not_ready", 503, "No model is in service."),
        _kind("not_kept", 503, "The prediction log cannot be written."),
        _kind("not_explained", 503, "The prediction cannot be explained."),
        _kind("overloaded", 503, "The server is overloaded."),
    )
}
"""All kinds of problems by code."""


def problem_of(  # noqa: PLR0911 - one return for each class of exceptions
    error: Exception, request_id: str, settings: Settings
) -> Problem:
    """Return the problem for an exception; log it if operators need to know.

    `request_id` identifies the request in the log; see `without_folders` for `settings`.
    """
    match error:
        case Problem():
            return error
        case RequestRefused():
            return Problem(KINDS[error.code], error.detail, error.headers)
        case InvalidJson():
            return Problem(KINDS[error.code], error.detail)
        case InvalidRequest():
            count = len(error.errors)
            detail = "one error, see errors" if count == 1 else f"{count} errors, see errors"
            customer = isinstance(error, InvalidCustomer)
            kind = KINDS["invalid_customer" if customer else "invalid_feedback"]
            return Problem(kind, detail, errors=[fault.document() for fault in error.errors])
        case SpoolError():
            log.error("request %s cannot be stored: %s", request_id, error)
            detail = "nothing was predicted or accepted; try again later"
            return Problem(KINDS["not_kept"], detail, RETRY_SOON)
        case NotExplained():
            log.error("request %s is not explained: %s", request_id, error)
            detail = "nothing was predicted; try again later, or without an explanation"
            return Problem(KINDS["not_explained"], detail, RETRY_SOON)
        case ContractError():
            log.error("request %s needs the contract: %s", request_id, error)
            return Problem(KINDS["not_ready"], without_folders(str(error), settings), RETRY_SOON)
        case HTTPException():
            kind = http_kind(error.code or 500)
            return http_problem(error, KINDS.get(kind.code, kind))
    log.error("unexpected error in request %s", request_id, exc_info=error)
    detail = "the server's log has the details under this request_id; please report it"
    return Problem(KINDS["internal_error"], detail)


def without_folders(sentence: str, settings: Settings) -> str:
    """Remove the server's folders from a sentence, as clients need not know them.

    Paths then start at the project root or, outside of it, at the folder that a setting names.
    """
    for folder in (ROOT, settings.state_path, settings.contract_path.parent):
        sentence = re.sub(rf"(?<![\w./-]){re.escape(str(folder))}/", "", sentence)
    return sentence
