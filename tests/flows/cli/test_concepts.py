"""The verbs of the concept store, on a bundle and on what is refused."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from storage.concepts import append_batch, init_file, write_template


def unit(*shape: int) -> np.ndarray[Any, Any]:
    rows = np.random.default_rng(sum(shape)).normal(size=shape)
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FEATUREMILL_STORE", str(tmp_path / "store"))
    words = {"concept_texts": ["red", "blue"]}
    with init_file(tmp_path / "mine.h5", D=8, T_img=4, metadata=words) as file:
        images = unit(6, 8)
        images[5] = images[0]
        append_batch(
            file,
            image_feats=images,
            image_token_feats=unit(6, 4, 8),
            split_names=["train"] * 4 + ["test"] * 2,
        )
        write_template(
            file,
            template_id="concept_prompts_t01",
            texts=["a red cell", "a blue cell"],
            text_features=unit(2, 8),
        )
    return str(tmp_path / "mine.h5")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["concepts", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_summarize(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    summary = said(capsys, "summarize", path)
    assert summary["datasets"]["image_features"] == {"shape": [6, 8], "dtype": "float16"}
    assert main(["concepts", "summarize", path]) == 0
    assert "6 x 4 x 8" in capsys.readouterr().out


def test_sample_and_batch(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "sample", path, "--index", "5")["split"] == "test"
    batch = said(capsys, "batch", path, "--split", "test", "--rows", ":2", "--type", "both")
    assert (batch["ids"], np.shape(batch["image_token_features"])) == ([4, 5], (2, 4, 8))
    assert main(["concepts", "batch", path, "--rows", "x"]) == 2
    assert "neither a place, such as 3, nor 0:10" in capsys.readouterr().err


def test_templates_and_fetch(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "templates", path) == ["concept_prompts_t01"]
    assert main(["concepts", "fetch", path, "--concept", "blue", "--concept", "green"]) == 0
    told = capsys.readouterr()
    assert "a blue cell" in told.out
    assert told.err == "not in the store, left out: 'green'\n"


def test_search(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "search", path, "--image", "0", "--top", "1")[0]["row"] == 5
    assert len(said(capsys, "search", path, "--concept", "red", "--top", "3")) == 3
    assert main(["concepts", "search", path, "--image", "0", "--top", "-1"]) == 2
    assert "--top -1 asks for nothing" in capsys.readouterr().err
    assert main(["concepts", "search", path]) == 2
    assert "needs one of --text, --concept and --image" in capsys.readouterr().err


def test_duplicates(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    (pair,) = said(capsys, "duplicates", path)
    assert (pair["row"], pair["other"], pair["exact"]) == (0, 5, False)


def test_validate_and_metadata(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Path(path).with_name("table.csv")
    table.write_text("id,split\n" + "".join(f"{n},train\n" for n in range(6)))
    assert main(["concepts", "validate", path, "--tokens"]) == 0
    assert "valid:" in capsys.readouterr().out
    assert main(["concepts", "validate", path, "--metadata", str(table)]) == 2
    assert "Row 4 of the table has split = 'train'" in capsys.readouterr().err


def test_clear(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "clear", path) == ["concept_prompts_t01"]
    with h5py.File(path) as file:
        assert list(file["templates"]) == []


def test_what_needs_a_run_says_so(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["concepts", "explain", path, "--image", "0"]) == 2
    assert "needs the key or name of a store that a run made" in capsys.readouterr().err
    assert main(["concepts", "heatmap", path, "--image", "0"]) == 2
    assert "heatmap needs --image, --concept and --out" in capsys.readouterr().err


def test_heatmaps_of_names_that_come_out_the_same_do_not_overwrite_each_other(
    path: str, tmp_path: Path
) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["token_space"] = "text"
        dim = file["image_features"].shape[1]
        words = ["röd", "rød", "red_cell", "red-cell"]
        write_template(
            file, template_id="concept_prompts_t01", texts=words, text_features=np.eye(4, dim)
        )
    Image.new("RGB", (8, 8)).save(tmp_path / "cell.png")
    wanted = [word for name in words for word in ("--concept", name)]
    place = ["--picture", str(tmp_path / "cell.png"), "--out", str(tmp_path / "maps")]
    assert main(["concepts", "heatmap", path, "--image", "0", *wanted, *place]) == 0
    assert sorted(file.name for file in (tmp_path / "maps").iterdir()) == [
        "000000-red-cell-2.png", "000000-red-cell.png", "000000-röd.png", "000000-rød.png",
    ]  # fmt: skip


def test_an_artifact_that_is_no_concept_store_is_refused(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["concepts", "summarize", "small/features"]) == 2
    assert "is no concept store" in capsys.readouterr().err


class TestExport:
    def test_a_kind_without_one_file_says_where_its_files_are(
        self, own_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["export", "small/features", "--bundle", str(tmp_path / "x.h5")]) == 2
        assert "image-features artifacts have no form in one file" in capsys.readouterr().err
