"""The stack's front page, as a test reads it."""

import re

import requests

_ROW = re.compile(r'<li class="(\w+)">.*?\(<code>([\w-]+)</code>\)', re.DOTALL)


def read_front_page(address: str) -> str:
    """Return the page at the address of the monitoring service."""
    answer = requests.get(f"{address}/", timeout=10)
    assert answer.status_code == 200
    return answer.text


def states(page: str) -> dict[str, str]:
    """Return the state of each service: ready, bad, unknown or absent."""
    return {name: state for state, name in _ROW.findall(page)}
