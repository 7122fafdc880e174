"""Tell the monitoring service which services its front page shows, and how to probe them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MethodType

from mlstack.heartbeat import HEARTBEATS, Heartbeat
from mlstack.settings import Settings
from operations.embedded.service import Service

_SHOWS_IT = "evidently_service"


def with_front_page(services: Sequence[Service], settings: Settings) -> tuple[Service, ...]:
    """Return the services, with the list of them all in the monitoring service's environment."""
    beats = {find(settings).path: name for name, find in HEARTBEATS.items()}
    lines = [shlex.join([service.name, *_words(service, beats)]) for service in services]
    known = {"STACK_SERVICES": "\n".join(lines)}
    return tuple(
        replace(service, environment={**service.environment, **known})
        if service.name == _SHOWS_IT
        else service
        for service in services
    )


def _words(service: Service, beats: Mapping[Path, str]) -> Sequence[str]:
    """Return a service's probes, as in a line of `STACK_SERVICES`."""
    if service.lacks:
        return "left_out", service.lacks
    if service.seen_as:
        return service.seen_as
    match service.probe:
        case partial(func=probe, args=(str(target),)):
            return probe.__name__, target
        case MethodType(__self__=Heartbeat() as heartbeat):
            return "heartbeat", beats[heartbeat.path]
    raise TypeError(f"{service.name}: give seen_as, because its probe works here only")
