"""Compiled once for all processes, and again when any of the sources has changed.

What numba keeps of a function it believes while the file of that function is the same, though the
functions that it calls are compiled into it: after an update of their file alone it would go on
calling what they were. So the sources of the whole folder are part of what is looked up, and those
of this one, which others build on.

A counter that is handed on begins as np.int64(0): whatever takes a plain 0 is compiled twice, for
the constant, too.
"""

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, no_type_check

from numba import njit
from numba.core.caching import FunctionCache

_HERE = Path(__file__).parent


@no_type_check
def kernel(**options: Any) -> Callable[[Any], Any]:
    """Return a decorator that compiles a function, which then runs without the GIL.

    `options` are those of `numba.njit`.
    """

    def compiled(function: Any) -> Any:
        dispatcher = njit(nogil=True, cache=True, **options)(function)
        dispatcher._cache = _FolderCache(function)
        return dispatcher

    return compiled


class _FolderCache(FunctionCache):
    """What is kept of a function, by the sources of all files beside its own and of those here."""

    @no_type_check
    def _index_key(self, sig: Any, codegen: Any) -> Any:
        folder = Path(self._py_func.__code__.co_filename).parent
        return (*super()._index_key(sig, codegen), _sources(folder), _sources(_HERE))


@cache
def _sources(folder: Path) -> str:
    digest = sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()
