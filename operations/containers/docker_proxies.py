"""Read which hosts Docker's own configuration exempts from its proxies.

If its `config.json` has `proxies`, Docker sets the proxy variables of every container, except for
those that the compose file sets. Ours sets NO_PROXY to this project's services, so it adds these
hosts.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from mlstack.caller_environment import direct_hosts
from operations.errors import StackError


def configured_no_proxy(environment: Mapping[str, str]) -> str:
    """Return the hosts as NO_PROXY lists them; `environment` tells where the configuration is.

    Raises StackError if it cannot be read.
    """
    folder = environment.get("DOCKER_CONFIG") or f"{environment.get('HOME', '')}/.docker"
    file = Path(folder) / "config.json"
    try:
        proxies = json.loads(file.read_text(encoding="utf-8")).get("proxies") or {}
        lists = [str(each.get("noProxy") or "") for each in proxies.values()]
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError) as error:
        raise StackError(f"Docker's configuration {file} cannot be read: {error}") from error
    return direct_hosts(*lists)[0] if any(lists) else ""
