"""SIGKILL cannot show a missing fsync: the order itself is proved, at the calls of the system."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import storage.publishing

Order = list["Call"]


@dataclass(frozen=True)
class Call:
    """One fsync, rename or link, as the kernel was asked for it."""

    name: str
    path: Path
    states: dict[int, tuple[int, int]]
    """By inode: size and time of the last change, of everything at and below `path`."""


def states_below(path: Path) -> dict[int, tuple[int, int]]:
    every = [path, *path.rglob("*")] if path.is_dir() else [path]
    found = [one.stat() for one in every]
    return {state.st_ino: (state.st_size, state.st_mtime_ns) for state in found}


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Order]:
    calls: Order = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        state = path.stat()
        calls.append(Call("fsync", path, {state.st_ino: (state.st_size, state.st_mtime_ns)}))

    def noted_rename(source: Path, target: Path) -> None:
        states = states_below(Path(source))
        rename(source, target)
        calls.append(Call("rename", Path(target), states))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", noted_fsync)
        patched.setattr(os, "rename", noted_rename)
        yield calls


def breaches(calls: Order) -> list[str]:
    """Return every rename of bytes that were not flushed, and every name that was not."""
    flushed: dict[int, tuple[int, int]] = {}
    found = []
    for number, call in enumerate(calls):
        if call.name == "fsync":
            flushed |= call.states
            continue
        late = [inode for inode, state in call.states.items() if flushed.get(inode) != state]
        found += [f"{call.path.name} was renamed before its bytes were flushed" for _ in late]
        then = calls[number + 1] if number + 1 < len(calls) else None
        if then is None or (then.name, then.path) != ("fsync", call.path.parent):
            found.append(f"{call.path.name} was renamed, and its directory not flushed")
    return found


linux_only = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, features: Any) -> Order:
    """Two whole makings, the second of which takes parts over, as the kernel saw them."""
    with recorded(monkeypatch) as calls:
        features.make(range(8))
        features.make([*range(4), *range(5, 12)])
    return calls


@linux_only
def test_bytes_are_flushed_before_each_rename_and_names_right_after_it(calls: Order) -> None:
    assert not breaches(calls)


@linux_only
def test_every_kind_of_publish_was_among_those_renames(calls: Order) -> None:
    renamed = [call.path.name for call in calls if call.name == "rename"]
    key = renamed[-1]
    assert f"{key}.00000" in renamed
    assert f"{key}.00000.json" in renamed
    assert {"plan.json", "manifest.json"} <= set(renamed)


@linux_only
def test_a_part_is_renamed_before_its_marker_and_the_artifact_last_of_all(calls: Order) -> None:
    renamed = [call.path.name for call in calls if call.name == "rename"]
    key = renamed[-1]
    ours = [name for name in renamed[renamed.index(f"{key}.00000") :] if name != "plan.json"]
    parts = [name for number in range(4) for name in (f"{key}.{number:05d}",)]
    in_pairs = [name for part in parts for name in (part, f"{part}.json")]
    assert ours[: len(in_pairs)] == in_pairs
    assert ours[-2:] == ["manifest.json", key]


@linux_only
def test_a_new_directory_is_flushed_into_the_one_above_it(
    monkeypatch: pytest.MonkeyPatch, features: Any
) -> None:
    with recorded(monkeypatch) as calls:
        features.make([1])
    flushed = [call.path for call in calls if call.name == "fsync"]
    root = features.store.path
    assert {root, root / "drafts", root / "published"} <= set(flushed)


# The check itself can fail


def forget(monkeypatch: pytest.MonkeyPatch, place: str, name: str) -> None:
    monkeypatch.setattr(f"{place}.{name}", lambda path: None)


def link_too_early(source: Path, target: Path) -> None:
    os.rename(source, target)


BROKEN: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a file is not flushed": lambda patch: forget(patch, "storage.parts", "fsync_file"),
    "a part's directory is not flushed": lambda p: forget(p, "storage.parts", "fsync_directory"),
    "a written file is not flushed": lambda patch: forget(patch, "storage.atomic", "fsync_file"),
    "a name is not flushed": lambda patch: forget(patch, "storage.atomic", "fsync_directory"),
    "a part is renamed without its directory": lambda patch: patch.setattr(
        "storage.parts.rename", link_too_early
    ),
    "an artifact is renamed without its directory": lambda patch: patch.setattr(
        storage.publishing, "rename", link_too_early
    ),
}


@linux_only
@pytest.mark.parametrize("fault", BROKEN)
def test_a_wrong_order_is_noticed(
    fault: str, monkeypatch: pytest.MonkeyPatch, features: Any
) -> None:
    BROKEN[fault](monkeypatch)
    with recorded(monkeypatch) as calls:
        features.make(range(4))
    assert breaches(calls)
