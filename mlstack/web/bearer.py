"""A token that callers send: `Authorization: Bearer ...`."""

import hmac


def is_given(header: str, token: str) -> bool:
    """Whether a request's `Authorization` carries the token; how long it takes tells nothing."""
    scheme, _, given = header.partition(" ")
    same = hmac.compare_digest(given.strip().encode(errors="replace"), token.encode())
    return scheme.lower() == "bearer" and same
