"""Draw the customers of a contract: from its sample, or by the marginals of the model in use."""

import logging
import math

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.data.marginals import Marginals
from mlstack.settings import Settings
from mlstack.waiting import Retry, RetryLater, Stop
from simulation_business.api_client import ApiClient

log = logging.getLogger(__name__)


class Population:
    """Draws customers; without a sample it asks the HTTP server for marginals before each batch.

    The first batch waits for a model, at most `give_up` seconds; later ones go on with what is
    known while the server is down.
    """

    def __init__(
        self,
        contract: Contract,
        settings: Settings,
        seed: int,
        stop: Stop | None = None,
        give_up: float = math.inf,
    ) -> None:
        self._generator = CustomerGenerator(contract, seed)
        self._client: ApiClient | None = None
        if contract.data.sample is None:
            self._client = ApiClient(settings, contract, stop or Stop())
        self._retry = Retry(
            log, f"marginals of {contract.name}", stop=stop, longest=5.0, give_up=give_up
        )
        self._is_known = False

    def draw(self, count: int) -> list[Customer]:
        """Draw `count` customers.

        Raises Stopped on a stop request, Unavailable if there is no model for too long, and Refused
        if the server does not give the marginals to this process.
        """
        if self._client is not None:
            self._generator.marginals = self._marginals(self._client)
        return self._generator.draw(count)

    def _marginals(self, client: ApiClient) -> Marginals | None:
        if self._is_known:
            try:
                return client.marginals()
            except RetryLater as error:
                log.debug("the marginals are those of the last batch: %s", error)
                return self._generator.marginals
        marginals = self._retry(client.marginals)
        self._is_known = True
        if marginals is None:
            log.warning(
                "the model in use has no marginals, so customers are drawn evenly from the ranges "
                "of the contract: make train"
            )
        return marginals
