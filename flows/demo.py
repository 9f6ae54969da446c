"""The demo: one step a capability, found by stem."""

import importlib.util
import pkgutil
from collections.abc import Callable

import flows
from conf.demo import Preset
from conf.errors import RecipeError, did_you_mean
from conf.runtime import Runtime
from flows.run import Run, run_name
from tasks.declaring import flow


@flow(name="demo", flow_run_name=run_name("demo"))
def demo(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Run the demo step of every capability, one after the other."""
    run = Run("demo", runtime or Runtime())
    for step in _steps(preset.steps):
        run.take(step)
    return run.close()


def _steps(wanted: tuple[str, ...]) -> list[Callable[[Run], None]]:
    stems = [found.name for found in pkgutil.iter_modules(flows.__path__)]
    stems = [one for one in stems if importlib.util.find_spec(f"conf.{one}")]  # of capabilities
    modules = {stem: importlib.import_module(f"flows.{stem}") for stem in stems}
    steps = {stem: m.demo_step for stem, m in modules.items() if hasattr(m, "demo_step")}
    for stem in wanted:
        if stem not in steps:
            raise RecipeError(f"steps: {stem!r} has no demo step. {did_you_mean(stem, steps)}")
    return [steps[stem] for stem in wanted or sorted(steps)]


FLOW = demo
