"""Errors over HTTP: `application/problem+json` (RFC 9457), for every service."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from mlstack.errors import MlstackError, echo

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem; clients may rely on code and status.

    Args:
        code: Its stable name.
        status: HTTP status of the answer.
        title: The same sentence for every problem of the kind.
        type: URI of its description; `about:blank` if the status says it all.
    """

    code: str
    status: int
    title: str
    type: str = "about:blank"


class Problem(MlstackError):
    """A request that is not answered as it asked.

    Args:
        kind: Which kind of problem it is.
        detail: This very problem as a sentence.
        headers: Further headers of the answer.
        members: Further members of the document.
    """

    def __init__(
        self, kind: Kind, detail: str, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        self.kind, self.detail = kind, detail
        self.headers, self.members = dict(headers or {}), members
        super().__init__(detail)

    def response(self) -> Response:
        """Make the answer."""
        document = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.kind.code,
            **self.members,
        }
        return Response(
            json.dumps(document), self.kind.status, self.headers, content_type=CONTENT_TYPE
        )


def http_kind(status: int, code: str = "") -> Kind:
    """Make a kind with HTTP's name for the status as title, and as code unless one is given."""
    phrase = HTTPStatus(status).phrase
    return Kind(code or phrase.lower().replace(" ", "_").replace("-", "_"), status, phrase)


def http_problem(error: HTTPException, kind: Kind) -> Problem:
    """Make the problem of a request that HTTP itself refuses: its path, method or range."""
    headers = {
        name: value
        for name, value in error.get_headers(request.environ)
        if name not in {"Content-Type", "Content-Length"}
    }
    title = kind.title
    return Problem(kind, f"{echo(request.method)} {echo(request.path)}: {title}", headers)


def answer_errors(app: Flask, problem_of: Callable[[Exception], Problem]) -> None:
    """Answer every exception of an application's requests.

    Args:
        app: The application.
        problem_of: Returns the problem that an exception is.
    """

    @app.errorhandler(Exception)
    def answer(error: Exception) -> Response:
        return problem_of(error).response()
