"""The batch JSON: what others wrote is kept, what does not fit is named."""

import json
from pathlib import Path

import pytest

from storage.photos.batches import (
    BatchInvalid,
    dump,
    parse_batch,
    plain,
    read_batch,
    write_batch,
)

ID = "48f6cf1e6e10e5367e229aabc3bffcf1c3bb3adac74365665fa9d6d1d1ed0541"
SEED = """{
  "batch_id": "batch_20251017_105804",
  "artifacts": [
    {
      "photo_id": "48f6cf1e6e10e5367e229aabc3bffcf1c3bb3adac74365665fa9d6d1d1ed0541",
      "original_uri": "./data/input/992DDF60-302C-4AB3-A794-EE9D0DDC56AA.jpg",
      "ranking_uri": "./data/rankingInput/48f6.jpg",
      "std_uri": "./data/rankingInput/48f6_1024.jpg",
      "exif": {"camera": "Apple iPhone 11 Pro Max", "iso": 64, "gps": null},
      "format": ".jpg",
      "processing_metadata": {"original_size": [3840, 2160], "standardized_size": [2048, 1152]},
      "mine": {"score": 1.10, "big": 12345678901234567890, "tiny": 1e-400, "list": [], "none": {}}
    }
  ],
  "note": "kept \\u0041 \\"quoted\\" </script>"
}"""


def test_a_batch_that_is_read_and_written_has_the_same_values() -> None:
    assert json.loads(dump(parse_batch(SEED))) == json.loads(SEED)


@pytest.mark.parametrize("number", ["1.10", "12345678901234567890", "1e-400", "3840"])
def test_numbers_that_nobody_touched_keep_their_text(number: str) -> None:
    assert number in dump(parse_batch(SEED))


def test_what_is_written_twice_is_the_same_text() -> None:
    once = dump(parse_batch(SEED))
    assert dump(parse_batch(once)) == once


def test_plain_gives_numbers() -> None:
    (photo,) = plain(parse_batch(SEED))["artifacts"]
    assert photo["exif"]["iso"] == 64
    assert photo["mine"]["score"] == 1.1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("[]", r"Input should be"),
        ("{", r"is not JSON"),
        ('{"batch_id": "a", "artifacts": [NaN]}', r"NaN is no JSON number"),
        ('{"batch_id": "a", "batch_id": "b", "artifacts": []}', r"names a field twice"),
        (
            '{"batch_id": "a", "mine": ' + "9" * 5000 + ', "artifacts": []}',
            r"is not JSON: .*digits",
        ),
        ('{"batch_id": "../a", "artifacts": []}', r"batch_id: String should match"),
        ('{"batch_id": "a"}', r"artifacts: Field required"),
        (
            '{"batch_id": "a", "artifacts": [], "failed": [{"original_uri": 3}]}',
            r"failed\.0\.original_uri: .*string, got '3'",
        ),
        (
            '{"batch_id": "a", "artifacts": [{"photo_id": "AB", "original_uri": "x"}]}',
            r"artifacts\.0\.photo_id: .* got 'AB'",
        ),
        (
            f'{{"batch_id": "a", "artifacts": [{{"photo_id": "{ID}", "original_uri": 3}}]}}',
            r"artifacts\.0\.original_uri: .*string",
        ),
    ],
)
def test_what_is_no_batch_is_refused_by_field(wrong: str, says: str) -> None:
    with pytest.raises(BatchInvalid, match=says):
        parse_batch(wrong)


def test_nesting_beyond_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(BatchInvalid, match="is not JSON"):
        read_batch(tmp_path / "deep.json")


def test_not_a_number_is_never_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump({"a": float("nan")})


def test_a_batch_that_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "out" / "batch.json"
    assert write_batch(path, parse_batch(SEED))
    assert not write_batch(path, parse_batch(SEED))
    assert [file.name for file in path.parent.iterdir()] == ["batch.json"]
