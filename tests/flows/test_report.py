"""The report of a run: one page, in the store, that links all that the run made."""

import re
from pathlib import Path
from urllib.parse import unquote

from conf.quality import NoiseRecipe
from conf.runtime import Runtime
from flows.report import write_report
from flows.run import Made, Run, Table
from storage.dataset.ledger import Ledger, LedgerRow
from storage.drafts import Making
from storage.publishing import driving, seal

HOSTILE = "</td><script>window.hurt=1</script><img src=x>"


def a_run(path: Path) -> Run:
    """Return a run that made an artifact with a page, and has a table."""
    run = Run("my run", Runtime(store=path, progress=False))
    sha = "ab" * 32
    ledger = Ledger.of([LedgerRow("a.png", sha, "unspecified", -1, None, "ok", None, 1, 1, 1)])
    making = Making(NoiseRecipe(), {"content": ledger.content}, (sha,))
    with driving(run.store, making) as draft:
        assert draft is not None
        (part,) = draft.pending()
        with draft.write_part(part) as writer:
            (writer.folder / "page.html").write_text("<!doctype html>a map")
            (writer.folder / "rows.txt").write_text("rows")
    run.made.append(Made("noise", seal(run.store, making.key), "Completed", 1, 2.0, HOSTILE))
    run.tables.append(Table(HOSTILE, ("image", "label"), [("a.png", HOSTILE)]))
    return run


def test_it_lies_in_the_store_and_its_links_lead_to_what_was_made(tmp_path: Path) -> None:
    run = a_run(tmp_path / "store")
    path = write_report(run, 3.25)
    assert path == tmp_path / "store" / "reports" / "my-run.html"
    page = path.read_text()
    links = [unquote(link) for link in re.findall(r'href="(\.\./[^"]+)"', page)]
    assert len(links) == 2
    assert all((path.parent / link).exists() for link in links)
    assert sum(link.endswith("page.html") for link in links) == 1
    assert "<b>3.2</b>seconds" in re.sub("</?bdi>", "", page)


def test_a_store_that_was_moved_keeps_its_links(tmp_path: Path) -> None:
    path = write_report(a_run(tmp_path / "store"), 1)
    assert path is not None
    moved = (tmp_path / "store").rename(tmp_path / "elsewhere") / "reports" / path.name
    links = [unquote(link) for link in re.findall(r'href="(\.\./[^"]+)"', moved.read_text())]
    assert links
    assert all((moved.parent / link).exists() for link in links)


def test_no_text_of_a_run_becomes_html(tmp_path: Path) -> None:
    path = write_report(a_run(tmp_path / "store"), 1)
    assert path is not None
    page = path.read_text()
    assert page.count("&lt;script&gt;") == 4, "in a title, its link, a cell, and a note"
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page


def test_where_nothing_can_be_written_there_is_no_report(tmp_path: Path) -> None:
    run = a_run(tmp_path / "store")
    (tmp_path / "store" / "reports").write_text("not a folder")
    assert write_report(run, 1) is None


def test_a_page_that_a_tables_title_names_is_linked_and_no_table_is_lost(tmp_path: Path) -> None:
    run = a_run(tmp_path / "store")
    outside = tmp_path / "my photos.html"
    outside.write_text("<!doctype html>photos")
    for name in ("a.png", "b.png"):
        run.tables.append(Table(f"Photos: {outside}", ("photo",), [(name,)]))
    run.tables.append(Table("Photos: gone.html", ("photo",), [("c.png",)]))
    path = write_report(run, 1)
    assert path is not None
    page = path.read_text()
    assert 'href="../../my%20photos.html"' in page
    assert all(f"<bdi>{name}</bdi>" in page for name in ("a.png", "b.png", "c.png"))
    assert "Photos: gone.html" in page
