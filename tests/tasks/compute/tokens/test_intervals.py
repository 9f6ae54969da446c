import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control

from tasks.compute.tokens.intervals import false_discovery, wilson_interval


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (3, 10), (10, 10), (71, 100_000)])
def test_the_interval_is_wilsons(hits: int, trials: int) -> None:
    wanted = binomtest(hits, trials).proportion_ci(method="wilson")
    low, high = wilson_interval(np.array([hits]), trials)
    assert low[0] == pytest.approx(wanted.low, abs=1e-12)
    assert high[0] == pytest.approx(wanted.high, abs=1e-12)


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    p = np.random.default_rng(0).random(200) ** 3
    np.testing.assert_allclose(false_discovery(p), false_discovery_control(p))


def test_what_was_not_tested_stays_unknown_and_is_not_counted() -> None:
    q = false_discovery(np.array([0.01, np.nan, 0.04]))
    np.testing.assert_allclose(q, [0.02, np.nan, 0.04])
