"""Check a request before using its content: token, headers, size, strict JSON."""

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import ParseException
from werkzeug.wrappers import Request

from mlstack.errors import MlstackError, echo
from mlstack.web import strict_json
from mlstack.web.flask_bridge import BodyTooLargeError, TooManyBodiesError

_JSON = "application/json"


class RequestRefused(MlstackError):
    """A request whose body is not read, or not completely.

    `code` is `unauthorized`, `unsupported_content_encoding`, `unsupported_content_type`,
    `body_too_slow`, `incomplete_body`, `body_too_large` or `overloaded`, and stable.
    """

    def __init__(
        self, status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.code, self.detail = status, code, detail
        self.headers = headers or {}
        super().__init__(detail)


def check_token(request: Request, token: str, realm: str) -> None:
    """Reject a request without the token (`Authorization: Bearer ...`).

    With an empty token anyone may call; `realm` names what it protects. Raises RequestRefused.
    """
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # Constant time: the duration reveals nothing about the token.
    same = hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())
    if token and not (same and scheme.lower() == "bearer"):
        detail = "send the token that the server was given: Authorization: Bearer ..."
        headers = {"WWW-Authenticate": f'Bearer realm="{realm}"'}
        raise RequestRefused(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers)


def check_declaration(request: Request) -> None:
    """Reject a body that is compressed or not declared as JSON in UTF-8.

    A body without a Content-Type is rejected too: its type would be a guess. Raises RequestRefused.
    """
    # Read the environment directly: every prediction passes through here.
    encoding = request.environ.get("HTTP_CONTENT_ENCODING", "").strip()
    if encoding.lower() not in {"", "identity"}:
        detail = f"send the body uncompressed, without Content-Encoding {echo(encoding)}"
        raise _unsupported("unsupported_content_encoding", detail)
    declared = request.environ.get("CONTENT_TYPE", "")
    if declared == _JSON:
        return
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != _JSON or charset not in {"utf-8", "utf8"}:
        got = f"got {echo(declared)}" if declared else "it is missing"
        raise _unsupported("unsupported_content_type", f"Content-Type must be {_JSON}; {got}")


def read_json(request: Request, limit: int) -> Any:
    """Read and parse a body of at most `limit` bytes, see `strict_json.parse`.

    A body that declares more is not read at all.

    Raises:
        RequestRefused: the body is too large, too slow or incomplete.
        InvalidJson: it is not acceptable JSON.
    """
    return strict_json.parse(_read(request, limit))


def _read(request: Request, limit: int) -> bytes:
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    stream = request.environ["wsgi.input"]
    try:
        body: bytes = stream.read(limit + 1 if length is None else length)
    except BodyTooLargeError as error:
        raise _too_large(limit) from error
    except TooManyBodiesError as error:
        detail = "too many large bodies are being received; try again later"
        status, headers = HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "1"}
        raise RequestRefused(status, "overloaded", detail, headers) from error
    except TimeoutError as error:
        detail = "the body did not arrive in time"
        raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, "body_too_slow", detail) from error
    except (OSError, ParseException) as error:
        raise _incomplete("the body ended early, or its chunks are malformed") from error
    if len(body) > limit:
        raise _too_large(limit)
    if length is not None and len(body) < length:
        raise _incomplete(f"the body ends after {len(body)} of {length} bytes")
    return body


def _unsupported(code: str, detail: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, code, detail)


def _incomplete(detail: str) -> RequestRefused:
    return RequestRefused(HTTPStatus.BAD_REQUEST, "incomplete_body", detail)


def _too_large(limit: int) -> RequestRefused:
    detail = f"the body may have at most {limit} bytes"
    return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)
