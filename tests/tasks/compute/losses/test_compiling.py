"""Compiled functions follow their sources, those of other files too."""

import importlib
import os
import sys
from pathlib import Path

import pytest

HEAD = "from tasks.compute.losses.kernels.compiling import kernel\n\n"
INNER = HEAD + "@kernel()\ndef inner(x):\n    return x + {added}\n"
OUTER = (
    HEAD + "from {name}.inner import inner\n\n@kernel()\ndef outer(x):\n    return inner(x) * 2\n"
)


def answer(name: str) -> tuple[float, int]:
    """Return what a process that begins now gets, and how much of it was compiled before."""
    from tasks.compute.losses.kernels.compiling import _sources

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
