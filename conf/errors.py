"""The family of errors that users read, and the nearest name to a wrong one."""

import difflib
from collections.abc import Iterable

_MOST_SAID = 10


class FeaturemillError(Exception):
    """An error whose text is written for the user: what was asked, what is, what to do next.

    `transient` says whether the same call may succeed without anybody changing anything;
    only such errors are retried.
    """

    transient = False
    exit_code = 1
    """What the command line ends with."""


class RecipeError(FeaturemillError):
    """A recipe, preset or setting is wrong; nothing was run."""

    exit_code = 2


class Stopped(FeaturemillError):
    """The user asked to stop: parts that ran were sealed, no other was begun."""

    exit_code = 130


class WorldError(FeaturemillError):
    """The world, not the data, stands in the way: a file is gone or changed, weights are missing.

    What was sealed stays sealed; the next run tries the rest again.
    """


class InputRefused(FeaturemillError):
    """What was given is not what it must be, and the key names those very bytes.

    Nothing made of it can ever be published, so no draft of it is kept: a corrected input has
    another key.
    """


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is closest to `name`, or None when none is close."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest known name, or else all of them, at most ten."""
    known = sorted(known)
    if close := nearest(name, known):
        return f"Did you mean {close!r}?"
    said = ", ".join(known[:_MOST_SAID]) or "none"
    more = len(known) - _MOST_SAID
    return f"Known are: {said} and {more} more." if more > 0 else f"Known are: {said}."
