"""The compose files as compose reads them, for tests without an engine."""

from pathlib import Path
from typing import Any

import yaml

from mlstack.settings import ROOT


def read_services(*files: str) -> dict[str, Any]:
    """Read the services of compose files by name, with what they extend merged in."""
    found: dict[str, Any] = {}
    for file in files:
        named = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["services"]
        found |= {name: _resolve(service, ROOT / file) for name, service in named.items()}
    return found


def _resolve(service: dict[str, Any], file: Path) -> dict[str, Any]:
    own = dict(service)
    extends = own.pop("extends", None)
    if extends is None:
        return own
    if isinstance(extends, str):
        extends = {"service": extends}
    file = file.with_name(extends.get("file", file.name))
    base = yaml.safe_load(file.read_text(encoding="utf-8"))["services"][extends["service"]]
    merged: dict[str, Any] = _merge(_resolve(base, file), own)
    return merged


def _merge(base: Any, own: Any) -> Any:
    if isinstance(base, dict) and isinstance(own, dict):
        return base | {key: _merge(base.get(key), value) for key, value in own.items()}
    return base + own if isinstance(base, list) and isinstance(own, list) else own
