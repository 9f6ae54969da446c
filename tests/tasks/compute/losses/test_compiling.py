"""Compiled functions follow their sources, those of other files too."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

import tasks.compute
from tasks.compute.losses.kernels.compiling import _HERE, _FolderCache, _sources

HEAD = "from tasks.compute.losses.kernels.compiling import kernel\n\n"
INNER = HEAD + "@kernel()\ndef inner(x):\n    return x + {added}\n"
OUTER = (
    HEAD + "from {name}.inner import inner\n\n@kernel()\ndef outer(x):\n    return inner(x) * 2\n"
)


def answer(name: str) -> tuple[float, int]:
    """Return what a process that begins now gets, and how much of it was compiled before."""
    _sources.cache_clear()
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]
    importlib.invalidate_caches()
    outer = importlib.import_module(f"{name}.outer").outer
    return outer(1.0), sum(outer.stats.cache_hits.values())


def test_a_change_of_a_file_that_is_called_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "changing_kernels"
    folder.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (folder / "__init__.py").write_text("")
    (folder / "outer.py").write_text(OUTER.format(name=folder.name))
    (folder / "inner.py").write_text(INNER.format(added=1.0))
    assert answer(folder.name) == (4.0, 0)
    assert answer(folder.name) == (4.0, 1)
    (folder / "inner.py").write_text(INNER.format(added=5.0))
    os.utime(folder / "inner.py", (1, 1))
    assert answer(folder.name) == (12.0, 0)


def test_whatever_calls_a_compiled_function_of_another_file_follows_that_folder() -> None:
    """Functions that call only those of their own file need no more than numba looks at itself."""
    called = 0
    for dispatcher in compiled_functions():
        function = dispatcher.py_func
        own = Path(function.__code__.co_filename)
        others = {
            Path(inner.py_func.__code__.co_filename)
            for name in function.__code__.co_names
            if isinstance(inner := function.__globals__.get(name), Dispatcher)
        } - {own}
        called += len(others)
        if others:
            assert isinstance(dispatcher._cache, _FolderCache), function
            assert {other.parent for other in others} <= {own.parent, _HERE}, function
    assert called > 0


def compiled_functions() -> list[Any]:
    """Return every compiled function of `tasks.compute`."""
    root = Path(tasks.compute.__path__[0])
    files = {path for path in root.rglob("[!_]*.py") if "numba" in path.read_text()}
    files |= set((root / "losses" / "kernels").glob("[!_]*.py"))
    places = [path.relative_to(root).with_suffix("").parts for path in sorted(files)]
    modules = [importlib.import_module(".".join(("tasks.compute", *place))) for place in places]
    members = (one for module in modules for one in vars(module).values())
    return [one for one in members if isinstance(one, Dispatcher)]
