"""Find the Alertmanager that runs as a process."""

from mlstack.settings import Settings
from operations.alerting.alertmanager import Alertmanager, Running
from operations.embedded import layout
from operations.embedded.neighbours import require_own_ports
from operations.embedded.services import all_services
from operations.errors import StackError

_SERVICE = "alertmanager"


def find_alertmanager(settings: Settings) -> Running:
    """Return this clone's Alertmanager.

    Raises StackError if it is another clone's, or is not installed.
    """
    (service,) = (each for each in all_services(settings) if each.name == _SERVICE)
    if service.lacks:
        raise StackError(service.lacks)
    require_own_ports(layout.STACK, [service])
    path = layout.LOGS / f"{_SERVICE}.log"
    before = path.stat().st_size if path.exists() else 0

    def log() -> str:
        return path.read_bytes()[before:].decode(errors="replace")

    return Running(Alertmanager(service.address), log)
