"""A probe tells a service that works from one that does not, and from a stranger at its port."""

from collections.abc import Callable

import pytest

from mlstack import probes
from mlstack.probes import Answer

ADDRESS = "http://127.0.0.1:9696"


@pytest.mark.parametrize("probe", [probes.model_is_served, probes.monitor_watches])
@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"", b"[]", b"{}", b'{"detail": 1}', b"\xff"]
)
def test_a_stranger_who_answers_with_200_is_not_ready(
    probe: Callable[[str], Answer], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "ask", lambda *_: (200, body))
    answer = probe(ADDRESS)
    assert not answer.ready
    assert f"something else answers at {ADDRESS}/health/ready" in answer.detail


def test_what_is_served_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"model_run_id": "a1", "detail": "no drift"}'
    monkeypatch.setattr(probes, "ask", lambda *_: (200, body))
    assert probes.model_is_served(ADDRESS) == Answer(ready=True, detail="a1")
    assert probes.monitor_watches(ADDRESS) == Answer(ready=True, detail="no drift")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"detail": "no model yet"}', "no model yet"),
        (b'{"detail": 5}', '{"detail": 5}'),
        (b"<h1>\n Bad  gateway</h1>", "<h1> Bad gateway</h1>"),
    ],
)
def test_a_refusal_is_told_in_its_own_words(body: bytes, said: str) -> None:
    assert probes.why(503, body) == f"answers with 503: {said}"
