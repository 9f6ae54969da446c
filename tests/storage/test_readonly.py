"""A store on a read-only disk can be read, and says so of everything else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
RUN = """
import sys
from conf.errors import FeaturemillError
from conf.runtime import Runtime
from conf.sources.digits import Source
from flows.cli import main
from flows.run import Run
from storage.collecting import collect
from storage.open import open_artifact
from storage.store import ArtifactStore
from tasks.dataset import scan_source

store = ArtifactStore(sys.argv[1])
contents = open_artifact("small/dataset", store).contents
print(open_artifact("small/features", store).pooled(contents).shape)
print(len(scan_source.fn(Source(limit=13), runtime=Runtime(store=store.path, progress=False))))
print(main(["tag", "small/features", "mine", "--store", sys.argv[1]]))
for act in (
    lambda: Run("any", Runtime(store=store.path)),
    lambda: collect(store, keep_runs=1, draft_days=1),
):
    try:
        act()
    except FeaturemillError as problem:
        print(problem)
"""


def read_only(store: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that sees `store` on a read-only file system, as nobody else does."""
    words = ["unshare", "--mount", "sh", "-c", MOUNT, str(store), *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare(1) is Linux's")
def test_a_store_on_a_read_only_disk_is_read_and_refuses_the_rest_in_words(own_store: Path) -> None:
    if read_only(own_store, "true").returncode:
        pytest.skip("this user may not mount")
    told = read_only(own_store, sys.executable, "-c", RUN, str(own_store))
    assert told.returncode == 0, told.stderr
    shape, scanned, code, *refused = told.stdout.splitlines()
    assert (shape, scanned, code) == ("(12, 32)", "13", "1")
    assert len(refused) == 2
    for text in (*refused, told.stderr):
        assert text.startswith(f"Nothing can be written in {own_store}: Read-only file system.")
        assert "`featuremill ls`" in text
        assert "--store or FEATUREMILL_STORE" in text
