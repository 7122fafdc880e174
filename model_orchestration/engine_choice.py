"""Choose what trains the trials of a search."""

from functools import partial
from importlib.util import find_spec

from mlstack.errors import SettingsError
from mlstack.settings import Settings
from model_orchestration.core_share import CoreShare
from model_orchestration.engine import OpenEngine
from model_orchestration.thread_engine import ThreadEngine


def choose_engine(name: str, cells: int, lag: int) -> tuple[OpenEngine, str]:
    """Return the engine that `Settings.train_engine` names, and a sentence about it.

    `cells` are those of the training matrix. Raises SettingsError if it is not installed.
    """
    if name == "dask":
        return _choose_dask()
    share = CoreShare.for_table(cells, lag)
    threads = share.threads(share.trials)
    description = f"trials at the same time: {share.trials}, with {threads} thread(s) each"
    return partial(ThreadEngine, share=share), description


def _choose_dask() -> tuple[OpenEngine, str]:
    if find_spec("distributed") is None:
        raise SettingsError(
            "TRAIN_ENGINE=dask: Dask is not installed: set EXTRA_PACKAGES=dask as well, and set up "
            "the model registry again"
        )
    # An optional package.
    from model_orchestration.dask_cluster import Cluster  # noqa: PLC0415 - see above
    from model_orchestration.dask_engine import DaskEngine  # noqa: PLC0415 - see above

    cluster = Cluster.of(Settings.load())
    return partial(DaskEngine, cluster=cluster), f"trials train on the workers of {cluster.address}"
