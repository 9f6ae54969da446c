import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from conf.errors import RecipeError
from storage.concepts import (
    ConceptStore,
    InvalidConceptStore,
    NotAConceptStore,
    RowReader,
    UnmatchedConcept,
    access_batch,
    access_sample_by_index,
    check_metadata,
    fetch_template_features,
    get_template_names,
    summarize_h5,
    validate_h5,
)


class TestRowReader:
    @pytest.fixture(
        params=["contiguous", "chunked", "narrow chunks", "compressed", "row chunks", "unwritten"]
    )
    def case(self, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
        rows = np.random.default_rng(0).normal(size=(50, 4, 3)).astype(np.float16)
        options: dict[str, Any] = {
            "contiguous": {},
            "chunked": {"chunks": (8, 4, 3), "maxshape": (None, 4, 3)},
            "narrow chunks": {"chunks": (8, 2, 3)},
            "compressed": {"chunks": (8, 4, 3), "compression": "gzip"},
            "row chunks": {"chunks": (1, 4, 3)},
        }
        with h5py.File(tmp_path / "rows.h5", "w") as file:
            if request.param == "unwritten":
                file.create_dataset("rows", rows.shape, np.float16, chunks=(8, 4, 3), fillvalue=2)
                rows = np.full_like(rows, 2)
            else:
                file.create_dataset("rows", data=rows, **options[request.param])
        return tmp_path / "rows.h5", rows

    @pytest.mark.parametrize(
        "wanted",
        [[3], [49, 0, 7, 7, 8, 9], list(range(50)), [-1, 0], [], slice(5, 30), range(2, 4), None],
    )
    def test_rows_come_in_the_order_asked_for(self, case: tuple[Path, Any], wanted: Any) -> None:
        path, rows = case
        with h5py.File(path) as file:
            found = RowReader(file["rows"]).read(wanted)
        index = np.arange(50) if wanted is None else wanted
        index = np.arange(50)[index] if isinstance(index, slice) else np.asarray(index, int)
        np.testing.assert_array_equal(found, rows[index])

    def test_a_row_that_is_not_there_is_an_error(self, case: tuple[Path, Any]) -> None:
        with h5py.File(case[0]) as file, pytest.raises(IndexError, match="row 50 was asked for"):
            RowReader(file["rows"]).read([50])

    def test_blocks_cover_all_rows(self, case: tuple[Path, Any]) -> None:
        path, rows = case
        with h5py.File(path) as file:
            blocks = list(RowReader(file["rows"]).blocks(16))
        assert [first for first, _ in blocks] == [0, 16, 32, 48]
        np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), rows)

    def test_a_writer_sees_what_it_has_not_flushed(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "open.h5", "w") as file:
            file.create_dataset("rows", data=np.zeros((4, 2)), chunks=(4, 2))
            file["rows"][1] = 5
            assert RowReader(file["rows"]).read([1]).tolist() == [[5, 5]]


class TestForeignVirtualDatasets:
    @pytest.fixture
    def rows(self, tmp_path: Path) -> Any:
        rows = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)
        with h5py.File(tmp_path / "source.h5", "w") as file:
            file["x"] = rows
        return rows

    @pytest.mark.parametrize(
        ("length", "place", "chosen"),
        [
            (20, slice(5, 15), slice(0, 10)),
            (12, slice(0, 10), slice(0, 10)),
            (5, slice(0, 5), slice(0, 10, 2)),
            (10, slice(0, 10), None),
        ],
        ids=["a gap before", "a gap behind", "every other row", "a whole dataset"],
    )
    def test_rows_are_those_that_h5py_sees(
        self, rows: Any, tmp_path: Path, length: int, place: slice, chosen: slice | None
    ) -> None:
        layout = h5py.VirtualLayout((length, 8), np.float32)
        source = h5py.VirtualSource("source.h5", "x", rows.shape)
        layout[place] = source if chosen is None else source[chosen]
        with h5py.File(tmp_path / "view.h5", "w") as file:
            file.create_virtual_dataset("x", layout, fillvalue=np.nan)
        with h5py.File(tmp_path / "view.h5") as file:
            np.testing.assert_array_equal(RowReader(file["x"]).read(), file["x"][:])

    def test_half_of_each_row_is_no_row(self, rows: Any, tmp_path: Path) -> None:
        layout = h5py.VirtualLayout((10, 4), np.float32)
        layout[:] = h5py.VirtualSource("source.h5", "x", rows.shape)[:, 4:]
        with h5py.File(tmp_path / "view.h5", "w") as file:
            file.create_virtual_dataset("x", layout)
        with h5py.File(tmp_path / "view.h5") as file:
            np.testing.assert_array_equal(RowReader(file["x"]).read([3, 1]), rows[[3, 1], 4:])


class TestAccess:
    def test_a_sample_is_one_row(self, concept_store: ConceptStore) -> None:
        sample = access_sample_by_index(concept_store.path, 11)
        assert (sample["id"], sample["label"], sample["split"]) == (11, 1, "train")
        assert sample["image_features"].shape == (32,)
        assert sample["image_token_features"].shape == (16, 32)
        assert "image_token_features" not in access_sample_by_index(
            concept_store.path, 0, tokens=False
        )

    def test_a_row_that_is_not_there_says_which_are(self, plain: Path) -> None:
        with pytest.raises(RecipeError, match=r"Row 7 was asked for; .* has 7 rows, from 0 to 6"):
            access_sample_by_index(plain, 7)

    def test_a_batch_counts_within_its_split(self, plain: Path) -> None:
        batch = access_batch(plain, "val", [1, 0])
        assert (batch.ids.tolist(), batch.labels.tolist()) == ([4, 3], [0, 1])
        assert batch.splits == ("val", "val")
        assert batch.features is not None
        assert batch.tokens is None
        assert access_batch(plain, "train", slice(1, None), "tokens").features is None
        assert len(access_batch(plain, None, slice(None), "both")) == 7
        assert access_batch(plain, "train", 0).ids.tolist() == [0]

    def test_an_unknown_split_place_or_type_is_refused(self, plain: Path) -> None:
        with pytest.raises(RecipeError, match=r"no split 'vali'\. Did you mean 'val'"):
            access_batch(plain, "vali", 0)
        with pytest.raises(RecipeError, match="split 'val' has 2 images"):
            access_batch(plain, "val", 2)
        with pytest.raises(RecipeError, match="none of cls, tokens, both"):
            access_batch(plain, "val", 0, "pooled")  # type: ignore[arg-type]

    def test_a_mask_chooses_the_rows_that_are_true(self, plain: Path) -> None:
        mask = np.array([False] * 5 + [True] * 2)
        assert access_batch(plain, None, mask).positions.tolist() == [5, 6]
        assert access_batch(plain, None, []).positions.tolist() == []
        with h5py.File(plain) as file:
            assert RowReader(file["ids"]).read(mask).tolist() == [5, 6]
            with pytest.raises(IndexError, match="rows of float64 were asked for"):
                RowReader(file["ids"]).read(np.array([1.5]))

    @pytest.mark.parametrize(
        ("idx", "says"),
        [
            (np.array([1.7]), "whole numbers, or a mask"),
            (slice(0, 3, 0), "step cannot be zero"),
            (np.array([True]), "Place"),
        ],
    )
    def test_places_that_name_no_row_are_refused(self, plain: Path, idx: Any, says: str) -> None:
        with pytest.raises(RecipeError, match=says):
            access_batch(plain, None, idx)

    def test_attributes_that_are_arrays_are_summarized_as_lists(self, plain: Path) -> None:
        with h5py.File(plain, "r+") as file:
            file.attrs["sizes"], file.attrs["names"] = [1, 2], ["a", "b"]
        said = summarize_h5(plain, show=False)["attributes"]
        assert json.dumps([said["sizes"], said["names"]]) == '[[1, 2], ["a", "b"]]'

    def test_a_file_that_is_no_store_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(NotAConceptStore, match="There is no file"):
            summarize_h5(tmp_path / "none.h5")
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["ids"] = [1]
        with pytest.raises(NotAConceptStore, match=r"it has no image_features, labels, split, tem"):
            access_sample_by_index(tmp_path / "other.h5", 0)
        (tmp_path / "text.h5").write_text("x")
        with pytest.raises(NotAConceptStore, match="cannot be opened"):
            get_template_names(tmp_path / "text.h5")


class TestTemplates:
    def test_names_are_found_by_prefix(self, concept_store: ConceptStore) -> None:
        assert get_template_names(concept_store.path, "label") == ["label_prompts_t01"]
        assert len(get_template_names(concept_store.path)) == 3

    def test_features_are_fetched_by_id_by_group_and_by_concept(
        self, concept_store: ConceptStore
    ) -> None:
        path = concept_store.path
        one = fetch_template_features(path, "concept_prompts_t02", concept_list=["a stroke"])
        assert one["concept_prompts_t02"].texts == ("the a stroke",)
        assert one["concept_prompts_t02"].features.shape == (1, 32)
        assert list(fetch_template_features(path, "concept")) == [
            "concept_prompts_t01", "concept_prompts_t02",
        ]  # fmt: skip
        labels = fetch_template_features(path, "label_prompts")["label_prompts_t01"]
        assert labels.names == ("zero", "one", "two")

    def test_an_unmatched_concept_is_warned_of_and_left_out(self, plain: Path) -> None:
        with pytest.warns(UnmatchedConcept, match="not in the store, left out: 'green'"):
            found = fetch_template_features(plain, "concept", concept_list=["blue", "green"])
        assert found["concept_prompts_t01"].names == ("blue",)

    def test_only_unmatched_concepts_are_an_error(self, plain: Path) -> None:
        with pytest.raises(RecipeError, match="None of the concepts that were asked for is there"):
            fetch_template_features(plain, concept_list=["green"])

    def test_an_unknown_template_or_missing_tokens_are_refused(self, plain: Path) -> None:
        with pytest.raises(RecipeError, match=r"no template 'concept_prompts_t9'\. Did you mean"):
            fetch_template_features(plain, "concept_prompts_t9")
        with pytest.raises(RecipeError, match="has no text tokens"):
            fetch_template_features(plain, features="tokens")


class TestValidation:
    def test_a_sound_store_is_described_and_said_to_be_valid(
        self, concept_store: ConceptStore, capsys: pytest.CaptureFixture[str]
    ) -> None:
        validate_h5(concept_store.path, tokens=True)
        told = capsys.readouterr().out
        for fact in ("12 x 16 x 32", "first ids", "first labels", "split_counts", "logit_scale",
                     "concept_prompts_t01", "valid: every count"):  # fmt: skip
            assert fact in told

    @pytest.mark.parametrize(
        ("harm", "says"),
        [
            (lambda f: f["labels"].resize(6, axis=0), "the lengths differ"),
            (lambda f: f.attrs.__setitem__("D", 9), "attribute D is 9, the datasets have 8"),
            (lambda f: f.attrs.__setitem__("split_counts", "{}"), "split_counts says {}"),
            (lambda f: f["ids"].__setitem__(3, 1), "ids do not ascend: row 3"),
            (lambda f: f["image_features"].__setitem__(2, 0), "1 rows of image_features are not"),
            (lambda f: f["image_token_features"].__setitem__(2, 0), "1 rows of image_token_feat"),
            (lambda f: f["templates/concept_prompts_t01/texts"].__setitem__(0, "x"), "texts_hash"),
            (lambda f: f["templates/concept_prompts_t01/text_features"].__setitem__(0, 0), "unit"),
            (lambda f: f["templates/concept_prompts_t01"].__delitem__("texts"), "lacks texts"),
        ],
    )
    def test_every_contradiction_is_named(self, plain: Path, harm: Any, says: str) -> None:
        with h5py.File(plain, "r+") as file:
            harm(file)
        with pytest.raises(InvalidConceptStore, match=says):
            validate_h5(plain, tokens=True, show=False)


class TestMetadata:
    def table(self, plain: Path) -> dict[str, list[Any]]:
        batch = access_batch(plain, None, slice(None))
        return {
            "id": batch.ids.tolist(),
            "label": batch.labels.tolist(),
            "split": list(batch.splits),
        }

    def test_a_table_of_the_store_fits(self, plain: Path, tmp_path: Path) -> None:
        import pandas as pd

        assert check_metadata(plain, self.table(plain)) == 3
        pd.DataFrame(self.table(plain)).to_csv(tmp_path / "table.csv", index=False)
        assert check_metadata(plain, tmp_path / "table.csv") == 3

    def test_a_shuffled_table_is_refused(self, plain: Path) -> None:
        table = self.table(plain)
        table["id"] = [1, 0, *table["id"][2:]]
        with pytest.raises(RecipeError, match="Row 0 of the table has id = 1, the store has '0'"):
            check_metadata(plain, table)

    def test_a_shortened_table_is_refused(self, plain: Path) -> None:
        table = {name: values[:-1] for name, values in self.table(plain).items()}
        with pytest.raises(RecipeError, match=r"The table has 6 rows, .* has 7"):
            check_metadata(plain, table)

    def test_a_table_that_cannot_prove_its_order_is_refused(self, plain: Path) -> None:
        with pytest.raises(RecipeError, match="none of them says which image a row is"):
            check_metadata(plain, {"label": [0] * 7, "colour": ["red"] * 7})

    def test_contents_and_names_prove_the_order_of_a_run(self, concept_store: ConceptStore) -> None:
        table = {"sha256": list(concept_store.contents), "uri": concept_store.names}
        assert check_metadata(concept_store.path, table) == 2
