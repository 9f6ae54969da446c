"""The home page over HTTP: what it shows, and that it shows the store and nothing else."""

import os
import re
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from conf.runtime import Runtime
from flows.web.home import Home
from storage.errors import DamagedArtifact
from storage.store import ArtifactStore

# What it shows


def test_the_overview_counts_artifacts_and_runs_and_links_reports(served: Any) -> None:
    page = served.text("/")
    assert "<b>6</b>" in page
    assert "<b>2</b>" in page
    assert served.keys["noise"] in page
    assert "#report" in page


def test_artifacts_are_found_by_kind_and_by_words(served: Any) -> None:
    every = served.text("/artifacts")
    assert all(key in every for key in served.keys.values())
    labels = served.text("/artifacts", kind="image-labels")
    assert served.keys["labels"] in labels
    assert served.keys["features"] not in labels
    assert served.keys["features"] in served.text("/artifacts", q="HOME feat")
    assert "No artifact is like that" in served.text("/artifacts", q="no-such-thing")


def test_an_artifact_is_called_as_the_newest_run_called_it_beside_its_other_names(
    served: Any,
) -> None:
    page = served.text("/artifacts", q="labels")
    beside = (
        f'href="/artifact/{served.keys["labels"]}"><bdi>home/labels</bdi></a><span class="chip">'
    )
    assert f"{beside}<bdi>&lt;script&gt;" in page, "a name that sorts before, and that no run gave"


def test_an_artifact_shows_recipe_lineage_files_and_runs(served: Any) -> None:
    page = served.text("/artifact/{labels}")
    for name in ("features", "prompts", "dataset"):
        assert f'href="/artifact/{served.keys[name]}"' in page, "its parents are drawn with links"
    assert "<bdi>top</bdi>" in page
    assert re.search(r'href="/file/[^"]+/labels\.parquet"', page)
    assert 'href="/run/' in page
    assert served.keys["labels"] in served.text("/artifact/{features}"), "its children, too"


def test_runs_show_what_they_made_reused_and_how_to_go_on(served: Any) -> None:
    page = served.text("/runs")
    ended, killed = re.findall(r'href="(/run/[^"]+)"', page)[::-1]
    assert "interrupted" in page
    told = served.text(ended)
    assert told.count("<bdi>reused</bdi>") == 1
    assert told.count("<bdi>made</bdi>") == 5
    assert "featuremill resume killed" in served.text(killed)
    assert "No run &#x27;nobody&#x27;" in served.text("/run/nobody", 404)


def test_images_stand_beside_labels_scores_and_boxes(served: Any) -> None:
    page = served.text("/images/{dataset}")
    assert page.count("<article") == 6
    assert page.count("<rect x=") == 2, "one box in each image but the first of a part"
    assert "original&#x27;s noise" in page
    assert ">rose<" in page
    assert page.count('<span class="why">') == 1, "the torn one says what is wrong with it"


def test_images_are_chosen_by_label_status_and_name(served: Any) -> None:
    assert served.text("/images/{dataset}", label="red").count("<article") == 3
    assert served.text("/images/{dataset}", status="failed").count("<article") == 1
    assert served.text("/images/{dataset}", q="0.PNG").count("<article") == 1
    assert "No image is like that" in served.text("/images/{dataset}", label="blue")


def test_pictures_are_new_jpegs_of_the_sources_bytes(served: Any) -> None:
    (source,) = set(re.findall(r'src="(/picture/[^"]+)"', served.text(
        "/images/{dataset}", q="0.png")))  # fmt: skip
    answer = served.client.get(source)
    assert answer.headers["content-type"] == "image/jpeg"
    image = Image.open(BytesIO(answer.content))
    red, green, _ = image.convert("RGB").getpixel((30, 20))  # type: ignore[misc]
    assert image.size == (60, 40)
    assert red > 200 > 60 > green


def test_search_needs_no_model_where_the_words_are_stored(served: Any) -> None:
    page = served.text("/search", q="ROSE", features=served.keys["features"])
    assert page.count("<article") == 5
    cosines = [float(one) for one in re.findall(r'class="number">(-?0\.\d{3})<', page)]
    assert len(cosines) == 5
    assert cosines == sorted(cosines, reverse=True)


def test_search_names_the_nearest_word_and_encodes_when_asked(served: Any) -> None:
    page = served.text("/search", q="roses", features=served.keys["features"])
    assert "Did you mean &#x27;rose&#x27;?" in page
    assert "<article" not in page
    page = served.text("/search", q="roses", features=served.keys["features"], encode="1")
    assert page.count("<article") == 5
    assert "the encoder" in page


def test_drafts_and_quarantine_are_shown_with_their_reasons(filled: Any, tmp_path: Path) -> None:
    runtime, keys = filled
    shutil.copytree(runtime.store, tmp_path / "store")
    store = ArtifactStore(tmp_path / "store")
    key = store.key_of(store.resolve(keys["labels"]))
    store.quarantine(key, "labels.parquet has other bytes <b>than</b> were written")
    from storage.home import StoreView
    from tasks.pages.home.runs import unfinished_page

    page = unfinished_page(StoreView.of(store))
    assert keys["labels"] in page
    assert "other bytes &lt;b&gt;than&lt;/b&gt; were written" in page
    assert "Nothing is in the making" in page


# What it does not show


@pytest.mark.parametrize("path", ["/", "/artifacts", "/artifact/{labels}", "/images/{dataset}",
                                  "/images", "/search?q=rose", "/runs", "/unfinished"])  # fmt: skip
def test_no_name_becomes_html(served: Any, path: str) -> None:
    page = served.text(path)
    assert "<script" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize(
    "name",
    ["../manifest.json", "..%2f..%2f..%2fstore.json", "%2e%2e/%2e%2e/store.json", "manifest.json",
     "/etc/passwd", "%2fetc%2fpasswd", "parts/../../../../store.json", "parts"],
)  # fmt: skip
def test_only_files_that_the_manifest_lists_are_served(served: Any, name: str) -> None:
    assert served.code(f"/file/{served.keys['labels']}/{name}") == 404


@pytest.mark.parametrize("key", ["..", "%2e%2e", "dataset-v1-0000000000000000", "a\0b", "x" * 400])
@pytest.mark.parametrize("page", ["artifact", "images", "file", "picture"])
def test_a_key_that_is_none_is_not_found(served: Any, page: str, key: str) -> None:
    more = {"file": "/x", "picture": "/00"}.get(page, "")
    assert served.code(f"/{page}/{quote(key, safe='%.')}{more}") == 404


def test_a_link_in_an_artifact_leads_nowhere(filled: Any, tmp_path: Path) -> None:
    runtime, keys = filled
    store = shutil.copytree(runtime.store, tmp_path / "store")
    home = Home(Runtime(store=store))
    name = min(home.view().manifest(keys["labels"]).files)
    path = home.store.folder(keys["labels"]) / name
    secret = tmp_path / "secret"
    secret.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(DamagedArtifact, match="is a link that leads elsewhere"):
        home.file(keys["labels"], name)


def test_a_picture_that_is_gone_says_so(filled: Any, tmp_path: Path) -> None:
    from storage.home import StoreView
    from storage.home.pictures import NoPicture, Pictures

    runtime, keys = filled
    shutil.copytree(runtime.store.parent, tmp_path / "home")
    moved = Runtime(store=tmp_path / "home" / "store")
    view = StoreView.of(ArtifactStore(moved.store))
    pictures = Pictures(moved)
    ledger = pictures.ledger(view, keys["dataset"])
    at = next(i for i, uri in enumerate(ledger.uri) if uri.endswith("0.png"))
    sha = str(ledger.sha256[at])
    assert pictures.jpeg(view, keys["dataset"], sha, "small")
    with pytest.raises(NoPicture, match="no such content"):
        pictures.jpeg(view, keys["dataset"], "0" * 64, "small")
    victim = runtime.store.parent / "photos" / str(ledger.uri[at])
    held = victim.rename(tmp_path / "held")
    try:
        with pytest.raises(NoPicture, match="gone: there is no such file"):
            Pictures(moved).jpeg(view, keys["dataset"], sha, "small")
        victim.write_bytes(b"others")
        with pytest.raises(NoPicture, match="it is 6 bytes"):
            Pictures(moved).jpeg(view, keys["dataset"], sha, "small")
        victim.unlink()
        os.mkfifo(victim)
        with pytest.raises(NoPicture, match="not a file: a FIFO"):
            Pictures(moved).jpeg(view, keys["dataset"], sha, "small")
    finally:
        victim.unlink()
        held.rename(victim)


def test_a_missing_picture_is_a_drawing_of_its_reason(served: Any) -> None:
    answer = served.client.get(f"/picture/{served.keys['dataset']}/{'0' * 64}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "its dataset lists no such" in answer.text


# Who may ask


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "", "[::1"])
def test_a_request_for_another_host_is_refused(served: Any, host: str) -> None:
    port = served.address.rpartition(":")[2]
    answer = served.client.get("/", headers={"host": host.format(port=port)})
    assert answer.status_code == 421
    assert "artifacts" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_reading_is_possible(served: Any, method: str) -> None:
    answer = served.client.request(method, "/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.text == f"{method} is not possible: this server only reads.\n"


def test_every_answer_has_a_strict_policy(served: Any) -> None:
    for path in ("/", "/style.css", "/nothing", "/artifact/{noise}", "/search"):
        answer = served.client.get(path.format(**served.keys))
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "script-src" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert served.client.head("/").status_code == 200


def test_a_report_is_served_in_a_sandbox(served: Any) -> None:
    (source,) = set(re.findall(r'src="(/file/[^"]+\.html)"', served.text("/artifact/{noise}")))
    policy = served.client.get(source).headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts allow-downloads; default-src 'none';")
    assert "allow-same-origin" not in policy
