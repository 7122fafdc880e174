"""A probe tells a working service from a broken one, and from another program at its port."""

from collections.abc import Callable

import pytest

from mlstack import probes
from mlstack.probes import Answer

ADDRESS = "http://127.0.0.1:9696"


@pytest.mark.parametrize("probe", [probes.model_is_served, probes.monitor_watches])
@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"", b"[]", b"{}", b'{"detail": 1}', b"\xff"]
)
def test_other_program_at_port_is_not_ready(
    probe: Callable[[str], Answer], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "ask", lambda *_: (200, body))
    answer = probe(ADDRESS)
    assert not answer.ready
    assert f"another program answers at {ADDRESS}/health/ready" in answer.detail


def test_detail_says_what_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_detail_quotes_refusal(body: bytes, said: str) -> None:
    assert probes.why(503, body) == f"answers with 503: {said}"
