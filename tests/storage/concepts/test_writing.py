import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from conf.errors import RecipeError
from storage.concepts import (
    ConceptFile,
    ConceptStore,
    InvalidConceptStore,
    NotAConceptStore,
    OtherModel,
    WrittenByRun,
    append_batch,
    check_metadata,
    clear_all_templates,
    init_file,
    validate_h5,
    write_template,
)

DIM, TOKENS = 8, 4


def unit(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    rows = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def reopened(path: Path, **given: Any) -> h5py.File:
    return init_file(path, **({"D": DIM, "T_img": TOKENS} | given))


class TestInitFile:
    def test_it_makes_the_datasets_of_the_format_with_its_defaults(self, tmp_path: Path) -> None:
        with init_file(tmp_path / "new.h5") as file:
            assert {name: (file[name].shape, str(file[name].dtype)) for name in file if name
                    not in ("templates", "split")} == {
                "image_features": ((0, 1152), "float16"),
                "image_token_features": ((0, 729, 1152), "float16"),
                "ids": ((0,), "int64"),
                "labels": ((0,), "int64"),
            }  # fmt: skip
            text = h5py.check_string_dtype(file["split"].dtype)
            assert (text.encoding, text.length) == ("utf-8", None)
            assert [file.attrs[name] for name in ("D", "T_img", "version")] == [1152, 729, "1.0"]
            assert json.loads(file.attrs["split_counts"]) == {}

    def test_a_model_without_patches_has_no_dataset_of_them(self, tmp_path: Path) -> None:
        with init_file(tmp_path / "new.h5", D=DIM, T_img=0) as file:
            assert "image_token_features" not in file
            assert file.attrs["T_img"] == 0
            append_batch(file, image_feats=unit(2, DIM), image_token_feats=None)

    def test_a_store_that_is_there_is_reused(self, plain: Path) -> None:
        with reopened(plain) as file:
            assert len(file["ids"]) == 7
            assert sorted(file["templates"]) == ["concept_prompts_t01", "concept_prompts_t02"]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("labels", [-1] * 7), ("ids", list(range(7))), ("split", [b"unspecified"] * 7)],
    )
    def test_a_lost_column_is_made_anew_with_its_defaults(
        self, plain: Path, name: str, expected: list[Any]
    ) -> None:
        with h5py.File(plain, "r+") as file:
            del file[name]
            del file.attrs["split_counts"]
        with reopened(plain) as file:
            assert file[name][:].tolist() == expected
        validate_h5(plain, show=False)

    def test_lost_splits_are_what_the_counts_say_where_they_name_one(self, tmp_path: Path) -> None:
        path = tmp_path / "one.h5"
        with init_file(path, D=8, T_img=0) as file:
            append_batch(file, image_feats=unit(3, 8), image_token_feats=None, split_names="train")
            del file["split"]
        with init_file(path, D=8, T_img=0) as file:
            assert file["split"][:].tolist() == [b"train"] * 3
            assert json.loads(file.attrs["split_counts"]) == {"train": 3}

    def test_lost_splits_that_cannot_be_told_are_not_made_up(self, plain: Path) -> None:
        """Resuming would take the images for new ones, and append them again."""
        with h5py.File(plain, "r+") as file:
            del file["split"]
        before = plain.read_bytes()
        says = r"lost split, and split_counts are {'train': 3, 'val': 2, .*Nothing was changed"
        with pytest.raises(InvalidConceptStore, match=says):
            reopened(plain)
        assert plain.read_bytes() == before

    @pytest.mark.parametrize("name", ["image_features", "image_token_features"])
    def test_lost_features_are_not_made_up_and_no_other_row_is_lost(
        self, plain: Path, name: str
    ) -> None:
        with h5py.File(plain, "r+") as file:
            del file[name]
        before = plain.read_bytes()
        says = rf"has .*7 rows of ids, .*, and no {name}: features cannot be made up"
        with pytest.raises(InvalidConceptStore, match=says):
            reopened(plain)
        assert plain.read_bytes() == before

    def test_a_foreign_file_with_a_dataset_of_our_name_keeps_it(self, tmp_path: Path) -> None:
        path = tmp_path / "foreign.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("ids", data=range(5), maxshape=(None,), chunks=(5,))
        with pytest.raises(InvalidConceptStore, match="has 5 rows of ids, and no image_features"):
            init_file(path)
        with h5py.File(path) as file:
            assert file["ids"][:].tolist() == [0, 1, 2, 3, 4]

    def test_datasets_of_another_form_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "flat.h5"
        with h5py.File(path, "w") as file:
            file["image_features"] = [1.0, 2.0]
        with pytest.raises(NotAConceptStore, match="is no dataset of 2 axes"):
            init_file(path)

    def test_a_column_shorter_than_what_was_counted_is_no_trace_of_a_kill(
        self, plain: Path
    ) -> None:
        with h5py.File(plain, "r+") as file:
            file["labels"].resize(0, axis=0)
        with pytest.raises(InvalidConceptStore, match=r"lost rows.*'labels': 0.*cover 7"):
            reopened(plain)
        with h5py.File(plain) as file:
            assert len(file["ids"]) == 7

    def test_counts_that_are_no_json_are_refused(self, plain: Path) -> None:
        with h5py.File(plain, "r+") as file:
            file.attrs["split_counts"] = "many"
        with pytest.raises(InvalidConceptStore, match="split_counts = 'many', which is no JSON"):
            reopened(plain)

    @pytest.mark.parametrize("name", ["split_counts", "model_fingerprint"])
    def test_metadata_may_not_set_what_repair_goes_by(self, plain: Path, name: str) -> None:
        with pytest.raises(RecipeError, match=f"metadata names {name}"):
            reopened(plain, metadata={name: "x"})

    def test_sizes_that_cannot_be_are_refused_and_leave_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match="D is 1 or more"):
            init_file(tmp_path / "new.h5", D=0)
        assert not (tmp_path / "new.h5").exists()

    def test_rows_that_a_killed_run_left_are_cut_off(self, plain: Path) -> None:
        with h5py.File(plain, "r+") as file:
            file["image_features"].resize(9, axis=0)
            file["ids"].resize(8, axis=0)
        with reopened(plain) as file:
            assert {len(file[name]) for name in file if name != "templates"} == {7}
        validate_h5(plain, tokens=True, show=False)

    def test_rows_that_no_count_covers_are_cut_off(self, plain: Path) -> None:
        with h5py.File(plain, "r+") as file:
            file.attrs["split_counts"] = json.dumps({"train": 3, "val": 2})
        with reopened(plain) as file:
            assert len(file["ids"]) == 5

    def test_other_sizes_are_refused_and_nothing_changes(self, plain: Path) -> None:
        before = plain.read_bytes()
        with pytest.raises(RecipeError, match="has D = 8, and D = 16 was asked for"):
            reopened(plain, D=16)
        with pytest.raises(RecipeError, match="has T_img = 4, and T_img = 0"):
            reopened(plain, T_img=0)
        assert plain.read_bytes() == before

    def test_another_model_is_refused(self, plain: Path) -> None:
        with pytest.raises(OtherModel, match=r"fingerprint ffffffffffffffff\.\.\., and this"):
            reopened(plain, fingerprint="a" * 64)

    def test_a_file_that_is_something_else_is_refused_and_nothing_changes(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "other.h5"
        with h5py.File(path, "w") as file:
            file["weights"] = [1.0]
        before = path.read_bytes()
        with pytest.raises(NotAConceptStore, match="it holds weights"):
            init_file(path)
        assert path.read_bytes() == before
        (tmp_path / "text.h5").write_text("not HDF5 at all")
        with pytest.raises(NotAConceptStore, match="cannot be opened as a concept store"):
            init_file(tmp_path / "text.h5")


class TestAppendBatch:
    def test_what_is_missing_gets_its_default(self, plain: Path) -> None:
        with h5py.File(plain) as file:
            assert file["ids"][5:].tolist() == [5, 6]
            assert file["labels"][5:].tolist() == [-1, -1]
            assert file["split"].asstr()[5:].tolist() == ["unspecified"] * 2
            assert json.loads(file.attrs["split_counts"]) == {
                "train": 3, "val": 2, "unspecified": 2,
            }  # fmt: skip

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"ids": [1]}, "ids has 1 rows, image_features has 2"),
            ({"labels": [1, 2, 3]}, "labels has 3 rows"),
            ({"split_names": ["train"]}, "split has 1 rows"),
            ({"image_feats": unit(2, 9)}, r"rows of shape \(9,\), the store's are \(8,\)"),
            ({"image_token_feats": None}, "has patch tokens, and none were given"),
            ({"image_token_feats": unit(2, 5, DIM)}, r"rows of shape \(5, 8\)"),
            ({"image_feats": np.full((2, DIM), np.nan)}, "float16 cannot hold"),
            ({"image_feats": np.full((2, DIM), 1e5)}, "float16 cannot hold"),
        ],
    )
    def test_a_batch_that_does_not_fit_is_refused_and_nothing_changes(
        self, plain: Path, given: dict[str, Any], says: str
    ) -> None:
        whole = {"image_feats": unit(2, DIM), "image_token_feats": unit(2, TOKENS, DIM)}
        with h5py.File(plain, "r+") as file:
            with pytest.raises(RecipeError, match=says):
                append_batch(file, **(whole | given))
            assert {len(file[name]) for name in file if name != "templates"} == {7}
        validate_h5(plain, tokens=True, show=False)

    def test_ids_go_on_behind_the_last(self, plain: Path) -> None:
        whole: dict[str, Any] = {
            "image_feats": unit(1, DIM),
            "image_token_feats": unit(1, TOKENS, DIM),
        }
        with h5py.File(plain, "r+") as file:
            append_batch(file, **whole, ids=[100])
            append_batch(file, **whole)
            assert file["ids"][-2:].tolist() == [100, 101]
        validate_h5(plain, show=False)

    def test_an_image_without_a_split_among_others_is_unspecified(self, plain: Path) -> None:
        whole: dict[str, Any] = {
            "image_feats": unit(2, DIM),
            "image_token_feats": unit(2, TOKENS, DIM),
        }
        with h5py.File(plain, "r+") as file:
            append_batch(file, **whole, split_names=["test", None])
            assert file["split"].asstr()[-2:].tolist() == ["test", "unspecified"]

    def test_a_store_without_counts_is_counted_whole_so_that_repair_keeps_its_rows(
        self, plain: Path
    ) -> None:
        with h5py.File(plain, "r+") as file:
            del file.attrs["split_counts"]
            append_batch(file, image_feats=unit(1, DIM), image_token_feats=unit(1, TOKENS, DIM))
        with reopened(plain) as file:
            assert len(file["ids"]) == 8

    def test_half_written_rows_are_to_be_cut_off_first(self, plain: Path) -> None:
        with h5py.File(plain, "r+") as file:
            file["image_features"].resize(9, axis=0)
            with pytest.raises(RecipeError, match=r"half written.*Open it by init_file"):
                append_batch(file, image_feats=unit(1, DIM), image_token_feats=None)
        with reopened(plain) as file:
            append_batch(file, image_feats=unit(1, DIM), image_token_feats=unit(1, TOKENS, DIM))
        validate_h5(plain, tokens=True, show=False)

    def test_datasets_of_fixed_size_are_refused_before_anything_grows(self, plain: Path) -> None:
        with h5py.File(plain, "r+") as file:
            labels = file["labels"][:]
            del file["labels"]
            file["labels"] = labels
            with pytest.raises(RecipeError, match=r"labels of .* cannot change in length"):
                append_batch(file, image_feats=unit(1, DIM), image_token_feats=None)
            assert len(file["image_features"]) == 7


class TestWriteTemplate:
    def test_the_same_id_is_overwritten_and_keeps_the_models_parameters(self, plain: Path) -> None:
        with h5py.File(plain, "r+") as file:
            write_template(
                file,
                template_id="concept_prompts_t01",
                texts=["a green cell"],
                text_features=unit(1, DIM),
                text_token_features=unit(1, 3, DIM),
            )
            group = file["templates/concept_prompts_t01"]
            assert group["texts"].asstr()[:].tolist() == ["a green cell"]
            assert (group.attrs["K"], group.attrs["T_txt"]) == (1, 3)
            assert group.attrs["logit_scale"] == 20.0
            assert file["templates/concept_prompts_t02"].attrs["T_txt"] == -1

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"texts": []}, "has no texts"),
            ({"template_id": "../x"}, "names no template"),
            ({"text_features": unit(3, DIM)}, r"1 texts in this store need \(1, 8\)"),
            ({"text_token_features": unit(2, 3, DIM)}, "text_token_features are"),
            ({"text_token_features": unit(1, 3, DIM + 1)}, "text_token_features are"),
            ({"texts": ["a\0b"]}, "a NUL character"),
        ],
    )
    def test_a_template_that_does_not_fit_is_refused_and_the_old_one_stays(
        self, plain: Path, given: dict[str, Any], says: str
    ) -> None:
        whole = {
            "template_id": "concept_prompts_t01",
            "texts": ["x"],
            "text_features": unit(1, DIM),
        }
        with h5py.File(plain, "r+") as file, pytest.raises(RecipeError, match=says):
            write_template(file, **(whole | given))
        validate_h5(plain, show=False)

    def test_prompts_that_hdf5_refuses_leave_the_old_ones(self, plain: Path) -> None:
        with h5py.File(plain, "r+") as file, pytest.raises(UnicodeEncodeError):
            write_template(
                file,
                template_id="concept_prompts_t01",
                texts=["\ud800"],
                text_features=unit(1, DIM),
            )
        validate_h5(plain, show=False)

    def test_clearing_removes_every_template(self, plain: Path) -> None:
        with h5py.File(plain, "r+") as file:
            assert clear_all_templates(file) == ["concept_prompts_t01", "concept_prompts_t02"]
            assert list(file["templates"]) == []


class TestInsideAnArtifactStore:
    def test_every_writing_function_refuses_and_names_the_export(
        self, concept_store: ConceptStore
    ) -> None:
        path = concept_store.path
        says = f"featuremill export {concept_store.artifact.key} --bundle PATH"
        with pytest.raises(WrittenByRun, match=says):
            init_file(path)
        with pytest.raises(WrittenByRun, match=says):
            clear_all_templates(path)
        with h5py.File(path, "r") as file:
            with pytest.raises(WrittenByRun, match=says):
                append_batch(file, image_feats=unit(1, 32), image_token_feats=None)
            with pytest.raises(WrittenByRun, match=says):
                write_template(file, template_id="t", texts=["x"], text_features=unit(1, 32))

    def test_nor_can_a_new_file_be_begun_there(self, concept_store: ConceptStore) -> None:
        with pytest.raises(WrittenByRun):
            init_file(concept_store.store.path / "published" / "mine.h5")


def test_a_bundle_can_be_appended_to(bundle: Path) -> None:
    with h5py.File(bundle, "r+") as file:
        append_batch(file, image_feats=unit(1, 32), image_token_feats=unit(1, 16, 32))
        assert len(file["ids"]) == 13
        assert file["ids"][-1] == 12


def test_what_was_appended_to_a_bundle_is_named_by_its_id(bundle: Path) -> None:
    with h5py.File(bundle, "r+") as file:
        append_batch(file, image_feats=unit(1, 32), image_token_feats=unit(1, 16, 32))
    store = ConceptFile(bundle)
    assert store.names[12] == "12"
    with pytest.raises(RecipeError, match="13 images and knows the contents of 12"):
        _ = store.contents
    assert check_metadata(bundle, {"id": list(range(13)), "uri": ["?"] * 13}) == 1
