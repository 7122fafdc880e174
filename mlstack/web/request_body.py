"""The body of a request: declared rightly, complete, in time, not too large, strict JSON."""

from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import ParseException
from werkzeug.wrappers import Request

from mlstack.errors import MlstackError, echo
from mlstack.web import strict_json
from mlstack.web.http_worker import CLOSE

_JSON = "application/json"


class BodyRefused(MlstackError):
    """A body that is not read, or not to its end.

    Args:
        status: What it is answered with.
        code: Stable name of the fault: `unsupported_content_encoding`,
            `unsupported_content_type`, `body_too_slow`, `incomplete_body`, `body_too_large`.
        detail: The fault as a sentence.
    """

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        self.status, self.code, self.detail = status, code, detail
        super().__init__(detail)


def check_declaration(request: Request) -> None:
    """Refuses what is not declared as JSON in UTF-8, and what is compressed.

    A body without a Content-Type is refused as well: what it is would be a guess.

    Raises:
        BodyRefused: says which declaration is expected.
    """
    # The environment is read as it is: these are asked of every prediction.
    encoding = request.environ.get("HTTP_CONTENT_ENCODING", "").strip()
    if encoding.lower() not in {"", "identity"}:
        detail = f"send the body as it is, without Content-Encoding {echo(encoding)}"
        raise _unsupported("unsupported_content_encoding", detail)
    declared = request.environ.get("CONTENT_TYPE", "")
    if declared == _JSON:
        return
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != _JSON or charset not in {"utf-8", "utf8"}:
        got = f"got {echo(declared)}" if declared else "there is none"
        raise _unsupported("unsupported_content_type", f"Content-Type must be {_JSON}; {got}")


def read_json(request: Request, limit: int) -> Any:
    """Reads and parses the body.

    Args:
        request: What is being answered.
        limit: Bytes that the body may have. A body that says that it has more is not read
            at all, one that does not say (chunked) no further than this.

    Returns:
        The JSON value, see `strict_json.parse`.

    Raises:
        BodyRefused: the body is too large, too slow or breaks off.
        InvalidJson: it is no acceptable JSON.
    """
    try:
        body = _read(request, limit)
    except BodyRefused:
        request.environ[CLOSE] = True
        raise
    return strict_json.parse(body)


def _read(request: Request, limit: int) -> bytes:
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    stream = request.environ["wsgi.input"]
    try:
        body: bytes = stream.read(limit + 1 if length is None else length)
    except TimeoutError as error:
        detail = "the body did not arrive in time"
        raise BodyRefused(HTTPStatus.REQUEST_TIMEOUT, "body_too_slow", detail) from error
    except (OSError, ParseException) as error:
        detail = "the body broke off, or its chunks are no chunks"
        raise _incomplete(detail) from error
    if len(body) > limit:
        raise _too_large(limit)
    if length is not None and len(body) < length:
        detail = f"the body ends after {len(body)} of {length} bytes"
        raise _incomplete(detail)
    return body


def _unsupported(code: str, detail: str) -> BodyRefused:
    return BodyRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, code, detail)


def _incomplete(detail: str) -> BodyRefused:
    return BodyRefused(HTTPStatus.BAD_REQUEST, "incomplete_body", detail)


def _too_large(limit: int) -> BodyRefused:
    detail = f"the body may have {limit} bytes at most"
    return BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)
