import pytest

from conf.units import size


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (67_108_864, "67.1 MB"),
        (9_000_000_000, "9.0 GB"),
        (2_500_000_000_000, "2.5 TB"),
    ],
)
def test_a_size_is_said_in_the_unit_that_fits(size_bytes: int, said: str) -> None:
    assert size(size_bytes) == said
