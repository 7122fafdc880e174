"""HTTP errors as `application/problem+json` (RFC 9457), for all services."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from mlstack.errors import MlstackError, echo

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem; clients may rely on its code and status.

    Args:
        title: The same sentence for all problems of the kind.
        type: URI of its description; `about:blank` if the status is sufficient.
    """

    code: str
    status: int
    title: str
    type: str = "about:blank"


class Problem(MlstackError):
    """A request that cannot be answered as requested.

    `headers` and `members` are added to the response and its document.
    """

    def __init__(
        self, kind: Kind, detail: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        self.kind, self.detail = kind, detail
        self.headers, self.members = dict(headers or {}), members
        super().__init__(detail)

    def document(self) -> dict[str, Any]:
        """Build the response's document."""
        return {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.kind.code,
            **self.members,
        }

    def response(self) -> Response:
        """Build the response."""
        return Response(
            json.dumps(self.document()), self.kind.status, self.headers, content_type=CONTENT_TYPE
        )


def http_kind(status: int, code: str = "") -> Kind:
    """Build a kind from HTTP's name for a status; `code` replaces the default code."""
    # Not `HTTPStatus(status).phrase`: Python 3.13 renames some, and clients rely on the codes.
    phrase = HTTP_STATUS_CODES[status]
    return Kind(code or phrase.lower().replace(" ", "_").replace("-", "_"), status, phrase)


def http_problem(error: HTTPException, kind: Kind) -> Problem:
    """Build the problem for an HTTP error: wrong path, method or range."""
    headers = {
        name: value
        for name, value in error.get_headers(request.environ)
        if name not in {"Content-Type", "Content-Length"}
    }
    title = kind.title
    return Problem(kind, f"{echo(request.method)} {echo(request.path)}: {title}", headers)


def answer_errors(app: Flask, problem_of: Callable[[Exception], Problem]) -> None:
    """Answer every exception in an application with the problem for it."""

    @app.errorhandler(Exception)
    def answer(error: Exception) -> Response:
        return problem_of(error).response()
