import threading
import time

import pytest

from tasks.lanes import run_lanes, spans, tapered


def nothing() -> None:
    """Enter a lane."""


@pytest.mark.parametrize(
    ("rows", "size", "expected"),
    [
        (0, 4, []),
        (3, 4, [slice(0, 3)]),
        (4, 4, [slice(0, 4)]),
        (9, 4, [slice(0, 4), slice(4, 8), slice(8, 9)]),
    ],
)
def test_spans_cover_all_rows_in_order(rows: int, size: int, expected: list[slice]) -> None:
    assert spans(rows, size) == expected


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_every_span_is_worked_on_once(lanes: int) -> None:
    seen: list[int] = []
    run_lanes(
        lambda span: seen.extend(range(span.start, span.stop)),
        spans(100, 7),
        lanes=lanes,
        on_enter=nothing,
    )
    assert sorted(seen) == list(range(100))


def test_no_rows_are_no_work() -> None:
    run_lanes(lambda span: pytest.fail("there is nothing to do"), [], lanes=2, on_enter=nothing)


def test_lanes_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)

    def work(span: slice) -> None:
        both.wait()  # for the other lane

    run_lanes(work, spans(2, 1), lanes=2, on_enter=nothing)


def test_each_lane_enters_before_it_works() -> None:
    entered: list[int] = []
    worked: list[int] = []

    def enter() -> None:
        entered.append(threading.get_ident())

    def work(span: slice) -> None:
        assert threading.get_ident() in entered
        worked.append(threading.get_ident())

    run_lanes(work, spans(20, 1), lanes=3, on_enter=enter)
    assert len(entered) <= 3
    assert threading.get_ident() not in worked


def test_the_error_of_a_batch_is_raised_as_it_was() -> None:
    def work(span: slice) -> None:
        if span.start == 3:
            raise KeyError("row 3")

    with pytest.raises(KeyError, match="row 3"):
        run_lanes(work, spans(5, 1), lanes=2, on_enter=nothing)


def test_after_an_error_no_other_batch_is_begun() -> None:
    begun: list[int] = []

    def work(span: slice) -> None:
        begun.append(span.start)
        time.sleep(0.01)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_lanes(work, spans(1000, 1), lanes=2, on_enter=nothing)
    assert len(begun) < 100


@pytest.mark.parametrize(
    ("rows", "size", "lanes"), [(0, 16, 2), (1, 16, 2), (256, 16, 2), (7, 1, 3)]
)
def test_tapered_batches_cover_all_rows_in_order(rows: int, size: int, lanes: int) -> None:
    batches = tapered(rows, size, lanes)
    assert [row for batch in batches for row in range(batch.start, batch.stop)] == list(range(rows))
    assert all(0 < batch.stop - batch.start <= size for batch in batches)


def test_tapered_batches_are_whole_at_first_and_a_quarter_at_the_end() -> None:
    sizes = [batch.stop - batch.start for batch in tapered(256, 16, lanes=2)]
    assert sizes == [16] * 15 + [8, 4, 4]


def test_the_error_of_a_lane_that_cannot_be_entered_is_raised_as_it_was() -> None:
    def enter() -> None:
        raise RuntimeError("no such device")

    with pytest.raises(RuntimeError, match="no such device"):
        run_lanes(lambda span: None, spans(5, 1), lanes=2, on_enter=enter)
