import pytest

from model_orchestration.core_share import CELLS_PER_THREAD, CoreShare

MILLION = CELLS_PER_THREAD


@pytest.mark.parametrize(
    ("cells", "cores", "trials", "threads"),
    [
        (100_000, 2, 2, {1: 1, 2: 1}),
        (100_000, 16, 4, {1: 1, 4: 1}),
        (100 * MILLION, 1, 1, {1: 1}),
        (100 * MILLION, 2, 2, {1: 2, 2: 1}),
        (2 * MILLION, 16, 4, {1: 2, 4: 2}),
        (100 * MILLION, 16, 4, {1: 16, 2: 8, 3: 5, 4: 4}),
    ],
)
def test_share_uses_cores_by_the_size_of_the_table(
    cells: int, cores: int, trials: int, threads: dict[int, int]
) -> None:
    """Trials train side by side; with large tables, the cores that are left serve them too."""
    share = CoreShare.for_table(cells, lag=4, cores=cores)
    assert share.trials == trials
    assert {training: share.threads(training) for training in threads} == threads


@pytest.mark.parametrize("cores", [1, 2, 3, 7, 64])
def test_share_never_takes_more_cores_than_there_are(cores: int) -> None:
    for millions in range(100):
        share = CoreShare.for_table(millions * MILLION, lag=64, cores=cores)
        for training in range(1, share.trials + 1):
            assert training <= training * share.threads(training) <= cores


def test_no_more_trials_at_a_time_than_the_lag() -> None:
    """The next proposal waits for the results of earlier trials."""
    assert CoreShare.for_table(1, lag=1, cores=8).trials == 1
