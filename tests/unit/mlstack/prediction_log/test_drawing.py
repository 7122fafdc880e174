"""A sample of predictions is drawn without keeping all of their ids."""

from collections import Counter

from mlstack.prediction_log.prediction_store import draw


def test_every_id_is_equally_likely() -> None:
    """Each of 12 is in a third of the samples of 4, wherever it stands."""
    names = [f"{number:02}" for number in range(12)]
    samples = [draw(names, 4, seed)[0] for seed in range(3000)]
    counts = Counter(name for sample in samples for name in sample)
    # Four standard deviations of a binomial count are 103.
    assert all(abs(counts[name] - 1000) < 104 for name in names)
    assert all(sample == sorted(set(sample)) for sample in samples)


def test_fewer_ids_than_wanted_are_all_drawn() -> None:
    assert draw(iter("abc"), 4, seed=1) == (["a", "b", "c"], 3)
    assert draw(iter(""), 4, seed=1) == ([], 0)
