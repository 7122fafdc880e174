"""Whether the agent answers: what the shared probes cannot tell without its process."""

import json
from datetime import datetime
from pathlib import Path

from mlstack.probes import OK, Answer, ask, why
from operations.embedded.processes import Identity


def worker_is_online(api: str, pool: str, record: Path) -> Answer:
    """Ready when Prefect has heard of the pool's worker since our agent was started.

    Args:
        api: Prefect's address.
        pool: Work pool of the worker.
        record: Where the agent's launcher recorded it: Prefect counts a worker that was
            killed as online for minutes.
    """
    agent = Identity.read(record)
    if agent is None:
        return Answer(ready=False, detail="it was not started")
    status, body = ask(f"{api}/work_pools/{pool}/workers/filter", {})
    if status != OK:
        return Answer(ready=False, detail=why(status, body))
    heard = [worker["last_heartbeat_time"] for worker in json.loads(body)]
    if any(datetime.fromisoformat(at).timestamp() >= agent.started for at in heard if at):
        return Answer(ready=True, detail="")
    return Answer(ready=False, detail=f"it has not reached work pool {pool!r} yet")
