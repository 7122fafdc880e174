import pytest

from model_orchestration.core_share import CELLS_PER_THREAD, CoreShare


@pytest.mark.parametrize(
    ("cells", "cores", "share"),
    [
        (100_000, 2, CoreShare(trials=2, threads=1)),
        (100_000, 1, CoreShare(trials=1, threads=1)),
        (100_000, 16, CoreShare(trials=4, threads=1)),
        (100 * CELLS_PER_THREAD, 2, CoreShare(trials=2, threads=1)),
        (2 * CELLS_PER_THREAD, 16, CoreShare(trials=4, threads=2)),
        (100 * CELLS_PER_THREAD, 16, CoreShare(trials=4, threads=4)),
    ],
)
def test_share_uses_cores_by_the_size_of_the_table(
    cells: int, cores: int, share: CoreShare
) -> None:
    """Trials train side by side; large tables have the cores that are left, too."""
    assert CoreShare.for_table(cells, lag=4, cores=cores) == share


@pytest.mark.parametrize("cores", [1, 2, 3, 7, 64])
def test_share_never_takes_more_cores_than_there_are(cores: int) -> None:
    for millions in range(100):
        share = CoreShare.for_table(millions * CELLS_PER_THREAD, lag=64, cores=cores)
        assert 1 <= share.trials * share.threads <= cores


def test_no_more_trials_at_a_time_than_the_lag() -> None:
    """The next proposal waits for the results of earlier trials."""
    assert CoreShare.for_table(1, lag=1, cores=8) == CoreShare(trials=1, threads=1)
