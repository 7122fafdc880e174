"""Send customers to the HTTP server: a batch every minute, one request each.

Entry point: `python -m simulation_business.send_data_api [--once] [--rate N] [--drift NAME]
[--seed N]`. A request is repeated with the same Idempotency-Key until it gets a response, so that
no customer is lost or predicted twice while the server restarts. A share of the predictions gets
an outcome some time later (`SIMULATION_OUTCOME_SHARE`, `_SECONDS`).
"""

import logging
from collections.abc import Sequence

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.settings import Settings
from mlstack.waiting import Stop, Stopped
from simulation_business import service
from simulation_business.answers import as_number, mean, percentile
from simulation_business.api_client import Answer, ApiClient, Refused
from simulation_business.options import Options
from simulation_business.outcomes import Outcomes

NAME = "send_data_api"

log = logging.getLogger(f"simulation_business.{NAME}")  # not `__main__`

_OUTCOME_SECONDS = 1.0


class ApiSimulator:
    """Sends customers one at a time; see `service.Simulator`."""

    def __init__(self, client: ApiClient, outcomes: Outcomes) -> None:
        self._client, self._outcomes = client, outcomes
        self._unanswered = 0

    def send(self, customers: Sequence[Customer]) -> None:
        """Send a batch and log the responses."""
        answers, sent, refused = list[Answer](), 0, 0
        for customer in customers:
            sent += 1
            try:
                answer = self._client.predict(customer)
            except Refused as error:
                refused += 1
                if refused == 1:
                    log.warning("a customer was rejected: %s", error)
            except Stopped:
                break
            else:
                answers.append(answer)
                self._outcomes.note(answer.prediction_id, answer.scored)
        self._unanswered = len(customers) - len(answers)
        self._outcomes.report_due()
        times = [answer.seconds * 1000 for answer in answers]
        log.info(
            "batch sent=%d answered=%d refused=%d retries=%d prediction_mean=%.3f p50_ms=%.1f "
            "p99_ms=%.1f outcomes_reported=%d outcomes_waiting=%d",
            *(sent, len(answers), refused),
            *(
                sum(answer.tries - 1 for answer in answers),
                mean([as_number(a.scored) for a in answers]),
            ),
            *(percentile(times, 50), percentile(times, 99)),
            *(self._outcomes.take_reported(), self._outcomes.waiting),
        )

    def between(self) -> float:
        """Report due outcomes."""
        self._outcomes.report_due()
        return _OUTCOME_SECONDS

    def finish(self) -> bool:
        """Report the outcomes without their delay."""
        reported = self._outcomes.report_all()
        log.info("outcomes_reported=%d", self._outcomes.take_reported())
        return reported and not self._unanswered

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def build(settings: Settings, contract: Contract, options: Options, stop: Stop) -> ApiSimulator:
    """Create the simulator."""
    client = ApiClient(settings, contract, stop, options.give_up)
    return ApiSimulator(client, Outcomes.of(settings, contract.target, client, options.seed))


if __name__ == "__main__":
    service.run(NAME, __doc__ or "", build)
