"""What a batch leaves outside the store."""

import os
import time
from pathlib import Path

from storage.photos.exports import IMAGES, sweep_exports


def test_only_old_leftovers_of_killed_runs_are_swept(tmp_path: Path) -> None:
    (tmp_path / IMAGES).mkdir()
    old = time.time() - 7200
    names = (".b1.json.0123abcd.tmp", f"{IMAGES}/.a.jpg.0123abcd.tmp", "b1.json", "mine.tmp")
    for name in names:
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (old, old))
    (tmp_path / ".b1.html.89ab0123.tmp").write_text("")  # of a run that may be going on
    sweep_exports(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"b1.json", "mine.tmp", ".b1.html.89ab0123.tmp"}
