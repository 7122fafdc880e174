"""Connect to Prefect's server."""

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
    """Prefect's server cannot be reached, or rejects a request."""


@contextmanager
def prefect_client() -> Iterator[SyncPrefectClient]:
    """Connect to the server at `PREFECT_API_URL`.

    Raises SettingsError if the variable is not set, and PrefectError for all errors of the server,
    now or within the block.
    """
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        raise SettingsError("PREFECT_API_URL is not set: no Prefect server is configured")
    try:
        # Not `get_client`: without a URL it silently starts a private server.
        with SyncPrefectClient(
            address,
            auth_string=PREFECT_API_AUTH_STRING.value(),
            api_key=PREFECT_API_KEY.value(),
        ) as client:
            yield client
    except PrefectHTTPStatusError as error:
        raise PrefectError(f"Prefect rejected the request: {error}") from error
    except httpx.HTTPError as error:
        raise PrefectError(
            f"Prefect cannot be reached at {address} ({error}); is it running? "
            "Start it with: make setup-model-registry"
        ) from error


def run_address(flow_run_id: object) -> str:
    """Return the URL of a flow run in the Prefect UI."""
    return f"{Settings.load().prefect_url}/runs/flow-run/{flow_run_id}"
