"""What takes processes of their own: two that want the same artifact, one whose disk is full."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# The one that computes begins when the other waits, so that no slow start decides the test.
ENCODE = """
import sys, time
from pathlib import Path
from conftest import Features
from storage.publishing import driving, seal
from storage.store import ArtifactStore

store, log, dies_at = ArtifactStore(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
waiting = log.with_name("waiting")
features = Features(store)
making = features.making(range(9))
said = []


def on_wait(holder):
    said.append(holder)
    waiting.touch()


with driving(store, making, part_rows=3, on_wait=on_wait) as draft:
    for number, name in enumerate(draft.pending() if draft else ()):
        while not waiting.exists():
            time.sleep(0.01)
        with log.open("a") as file:
            file.write(name + "\\n")
        time.sleep(60 * (number + 1 == dies_at))
        features.make_part(draft, name)
    seal(store, making.key)
print(*said, sep="\\n")
"""

FULL = """
import ctypes, json, os, resource, sys
import numpy as np
import conftest
from conf.errors import WorldError
from conftest import Features
from storage.publishing import driving
from storage.store import ArtifactStore

NAMESPACE, PRIVATE, REMOUNT = 0x20000, 0x44000, 0x20
how, what, path = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
# 64 kB a row, so that a part of three rows has 192 kB
if what == "tokens":
    conftest.tokens = lambda numbers: np.array(
        [np.full((64, 512), number + 0.5) for number in numbers], np.float16
    )
else:
    conftest.pooled = lambda numbers: np.array([[number] * 32768 for number in numbers], np.float16)


def mount(kind, flags, options):
    if libc.mount(kind, path.encode(), kind, flags, options):
        sys.exit(77)


def fill():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
        return
    if libc.unshare(NAMESPACE) or libc.mount(None, b"/", None, PRIVATE, None):
        sys.exit(77)
    mount(b"tmpfs", 0, b"size=400k")


def free():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    else:
        mount(b"tmpfs", REMOUNT, b"size=64m")


fill()
features = Features(ArtifactStore(os.path.join(path, "store")))
told = []
with driving(features.store, features.making(range(7)), part_rows=3) as draft:
    for name in draft.pending():
        try:
            features.make_part(draft, name)
        except WorldError as problem:
            told.append([type(problem).__name__, str(problem)])
    sealed = [conftest.NUMBERS[row] for marker in draft.sealed().values() for row in marker.rows]
    left = sorted(path.name for path in draft.parts.iterdir())
free()
features.encoded.clear()
read = features.read(features.make(range(7)))
print(json.dumps({
    "told": told, "sealed": sealed, "left": left, "encoded": features.encoded,
    "is_right": read == features.truth(range(7)),
}))
"""


def begin(code: str, *arguments: object) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_two_processes_that_want_the_same_artifact_one_computes_and_the_other_waits(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    both = [begin(ENCODE, tmp_path / "store", log, 0) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    said = sorted((out.strip(), one.pid) for (out, _), one in zip(answers, both, strict=True))
    assert said[0][0] == "", "one computes"
    assert said[1][0].startswith(f"process {said[0][1]} since "), "the other waits for it"
    assert len(log.read_text().splitlines()) == 3


def test_when_the_one_that_computes_is_killed_the_other_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = begin(ENCODE, tmp_path / "store", log, 2)
    wait_for(lambda: bool([*tmp_path.glob("store/drafts/*/*/plan.json")]))
    second = begin(ENCODE, tmp_path / "store", log, 0)
    wait_for(lambda: log.exists() and log.read_text().count("\n") == 2)
    first.kill()
    first.communicate()
    answer = second.communicate(timeout=60)
    assert second.returncode == 0, answer
    encoded = log.read_text().splitlines()
    assert len(encoded) == 4, "one part of work is lost"
    assert encoded[1] == encoded[2]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# HDF5 that meets a full disk itself takes the process down: so pooled features are tried too.
@pytest.fixture(params=[("limit", "tokens"), ("tmpfs", "tokens"), ("tmpfs", "pooled")])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """What a run says on a full disk, and what the next one does when there is space again."""
    process = begin(FULL, *request.param, tmp_path)
    answer = process.communicate(timeout=60)
    if process.returncode == 77:
        pytest.skip("mounting is not allowed here")
    assert process.returncode == 0, answer
    return json.loads(answer[0])


def test_a_full_disk_fails_loudly_keeps_what_is_sealed_and_is_resumed_after(full: Any) -> None:
    assert full["told"]
    for name, text in full["told"]:
        assert name == "NoSpace"
        assert "ended the writing of" in text
        assert "Free some space, or name another store with --store, and run again" in text
    assert full["sealed"]
    assert not [name for name in full["left"] if name.endswith(".tmp")]
    assert full["encoded"] == [row for row in range(7) if row not in full["sealed"]]
    assert full["is_right"]
