"""Find the Alertmanager that runs in a container."""

from datetime import UTC, datetime

from operations.alerting.alertmanager import Alertmanager, Running
from operations.containers.engine import Compose
from operations.containers.logins import reachable
from operations.containers.ownership import Project

_SERVICE = "alertmanager"


def find_alertmanager() -> Running:
    """Return this clone's Alertmanager; raise StackError if it is another clone's."""
    compose = Compose()
    Project(compose).require()
    published = compose.services[_SERVICE]["ports"][0]
    host = reachable(published.get("host_ip", ""))
    since = datetime.now(UTC).isoformat()

    def log() -> str:
        return compose.read("logs", "--no-log-prefix", "--since", since, _SERVICE)

    return Running(Alertmanager(f"http://{host}:{published['published']}"), log)
