import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks import progress as module
from tasks.progress import advance, advance_to, progress, say


@pytest.fixture(autouse=True)
def _bars_show_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    return err.strip().split("\r")[-1]


def test_the_bar_says_what_how_many_and_how_fast(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("key", 4, title="features"):
        advance("key", 3)
        advance("key", 1)
    assert re.fullmatch(r"features: 100%\|.*\| 4/4 \[.*, .* rows/s\]", last_line(capsys))


def test_rows_done_before_count_as_done_but_not_as_speed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("key", 1_000_000, done=999_999):
        advance("key", 1)
    said = last_line(capsys)
    assert "1000000/1000000" in said
    speed = re.search(r"([0-9.]+) rows/s", said)
    assert speed is None or float(speed[1]) < 100_000


def test_a_bar_moves_from_any_thread(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("key", 100), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: advance("key", 1), range(100)))
    assert "100/100" in last_line(capsys)


def test_a_bar_whose_total_is_found_later_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("scan", 0, unit="files"):
        advance_to("scan", 2, 9)
        advance_to("scan", 9, 9)
    said = last_line(capsys)
    assert "9/9" in said
    assert "files/s" in said


def test_nothing_is_shown_where_nobody_wants_it(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("key", 3, is_shown=False):
        advance("key", 3)
        advance_to("key", 3, 3)
    assert last_line(capsys) == ""


def test_what_is_done_at_once_needs_no_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENT_SECONDS", 60)
    with progress("key", 3):
        advance("key", 3)
    assert last_line(capsys) == ""


def test_after_the_context_nothing_moves() -> None:
    with progress("key", 3):
        pass
    advance("key", 1)
    advance_to("key", 1, 3)


def test_a_bar_is_gone_after_an_error() -> None:
    with pytest.raises(ValueError, match="broken"), progress("key", 3):
        raise ValueError("broken")
    assert not module._bars


def test_what_is_said_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("waiting")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "waiting\n")
