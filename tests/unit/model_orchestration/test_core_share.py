import pytest

from model_orchestration.core_share import CELLS_PER_THREAD, CoreShare


@pytest.mark.parametrize(
    ("cells", "cores", "share"),
    [
        (100_000, 2, CoreShare(trials=2, threads=1)),
        (100_000, 1, CoreShare(trials=1, threads=1)),
        (100_000, 16, CoreShare(trials=4, threads=1)),
        (2 * CELLS_PER_THREAD, 2, CoreShare(trials=1, threads=2)),
        (2 * CELLS_PER_THREAD, 8, CoreShare(trials=4, threads=2)),
        (100 * CELLS_PER_THREAD, 8, CoreShare(trials=1, threads=8)),
    ],
)
def test_share_uses_cores_by_the_size_of_the_table(
    cells: int, cores: int, share: CoreShare
) -> None:
    """Small tables have trials side by side, large ones have threads in a trial."""
    assert CoreShare.for_table(cells, lag=4, cores=cores) == share


@pytest.mark.parametrize("cores", [1, 2, 3, 7, 64])
def test_share_never_takes_more_cores_than_there_are(cores: int) -> None:
    for millions in range(100):
        share = CoreShare.for_table(millions * CELLS_PER_THREAD, lag=64, cores=cores)
        assert 1 <= share.trials * share.threads <= cores


def test_no_more_trials_at_a_time_than_the_lag() -> None:
    """The next proposal waits for the results of earlier trials."""
    assert CoreShare.for_table(1, lag=1, cores=8) == CoreShare(trials=1, threads=1)
