"""The HTTP server without its prediction log, for `log_cost.py`."""

from mlstack.deployment.predictor import Predictor
from server import predict_api_server


class _NullLog:
    def keep(self, *_: object) -> None:
        pass

    keep_outcomes = keep


def _unlogged(self: Predictor, *args: object, **kwargs: object) -> None:
    _init(self, *args, **kwargs)  # type: ignore[arg-type]
    self._log = _NullLog()  # there is no setting for this


_init = Predictor.__init__
Predictor.__init__ = _unlogged  # type: ignore[method-assign]
app = predict_api_server.app
