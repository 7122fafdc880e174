"""The way to Prefect's server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY

from mlstack.errors import MlstackError, SettingsError
from mlstack.settings import Settings


class PrefectError(MlstackError):
    """Prefect's server cannot be reached, or refuses."""


@contextmanager
def prefect_client() -> Iterator[SyncPrefectClient]:
    """A client of the server that `PREFECT_API_URL` names.

    Raises:
        SettingsError: no server is set; Prefect would silently start a private one.
        PrefectError: it cannot be reached or refuses, now or while the client is in use.
    """
    address = require_server()
    try:
        # Never `get_client`: without an address it starts a server.
        with SyncPrefectClient(
            address,
            auth_string=PREFECT_API_AUTH_STRING.value(),
            api_key=PREFECT_API_KEY.value(),
        ) as client:
            yield client
    except PrefectHTTPStatusError as error:
        raise PrefectError(f"Prefect refuses: {error}") from error
    except httpx.HTTPError as error:
        raise PrefectError(
            f"Prefect cannot be reached at {address} ({error}); is it started? "
            "make setup-model-registry"
        ) from error


def require_server() -> str:
    """Address of Prefect's API.

    Raises:
        SettingsError: `PREFECT_API_URL` is not set.
    """
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        raise SettingsError("PREFECT_API_URL is not set: there is no Prefect server to talk to")
    return address


def run_address(flow_run_id: object) -> str:
    """Where people look at a flow run."""
    return f"{Settings.load().prefect_url}/runs/flow-run/{flow_run_id}"
