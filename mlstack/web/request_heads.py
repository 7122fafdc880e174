"""Check request heads for what the parser accepts but others read differently."""

from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus

import httptools

from mlstack.web.problems import Problem, http_kind

Headers = list[tuple[bytes, bytes]]

_MAX_FIELDS = 64
_MAX_FIELD = 8190

_ONCE = (b"host", b"content-type", b"content-length", b"transfer-encoding")

NEVER_IN_TRAILERS = {*_ONCE, b"authorization", b"te", b"trailer"}
"""Headers that would change the meaning of a request after its body."""


class Rejection(Problem):
    """A request that is not passed to the application."""

    def __init__(
        self,
        detail: str,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        code: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(http_kind(status, code), detail, headers)


TOO_SLOW = Rejection("the request did not arrive in time", HTTPStatus.REQUEST_TIMEOUT)
OVERLOADED = Rejection(
    "there are too many connections; try again later",
    HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded",
    {"Retry-After": "1"},
)


def too_large() -> Rejection:
    """Build the rejection of a head that is too large."""
    return Rejection(
        f"a request has at most {_MAX_FIELDS} headers, and neither its path nor a header has more "
        f"than {_MAX_FIELD} bytes",
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    )


def check_head(method: str, target: bytes, version: str, headers: Headers) -> bool:
    """Return whether the client waits for 100 Continue; names of headers are in lower case.

    Raises Rejection.
    """
    found = dict(headers)
    if len(found) < len(headers):
        counts = Counter(name for name, _ in headers)
        for name in _ONCE:
            if counts[name] > 1:
                raise Rejection(f"the header {name.decode()} is there twice")
    if version not in {"1.1", "1.0"}:
        raise Rejection("send HTTP/1.1")
    if method == "CONNECT":
        raise Rejection("this server is not a proxy")
    if version == "1.1" and b"host" not in found:
        raise Rejection("the header host is missing")
    coding = found.get(b"transfer-encoding")
    if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
        raise Rejection("the only transfer coding is chunked, in HTTP/1.1")
    if len(headers) > _MAX_FIELDS or max((len(target), *map(len, found.values()))) > _MAX_FIELD:
        raise too_large()
    return version == "1.1" and _expects_continue(found.get(b"expect"))


def _expects_continue(expectation: bytes | None) -> bool:
    if expectation is None:
        return False
    if expectation.lower() != b"100-continue":
        raise Rejection("the only expectation is 100-continue", HTTPStatus.EXPECTATION_FAILED)
    return True


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Split a request's target into path and query. Raises Rejection."""
    if target.startswith(b"/"):
        path, _, query = target.partition(b"#")[0].partition(b"?")
        return path, query
    try:
        parsed = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise Rejection("the path must start with a slash") from None
    return parsed.path or b"/", parsed.query or b""
