"""The demo: every capability's own step, on data that ships with the packages."""

from conf.keys import Frozen


class Preset(Frozen):
    """The settings of flow `demo`."""

    steps: tuple[str, ...] = ()
    """The stems whose `demo_step` is run; none means all, in alphabetical order."""
