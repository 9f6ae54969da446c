"""Presets by their name: for deployments, what `featuremill run` is in a terminal."""

import importlib

from prefect import flow

from conf.load import LoadedPreset, load_preset
from conf.runtime import Runtime
from flows.run import Run, named_for


@flow(name="preset", flow_run_name="preset-{preset}")
def run_preset(
    preset: str, changes: list[str] | None = None, runtime: Runtime | None = None
) -> Run:
    """Run the preset of that name, or of a TOML file, with changes such as "model.precision=bf16".

    `runtime` replaces that of the preset.
    """
    return run_loaded(load_preset(preset, changes or ()), runtime)


def run_loaded(preset: LoadedPreset, runtime: Runtime | None = None) -> Run:
    """Run the flow that `preset` names, and return its run."""
    chosen = importlib.import_module(f"flows.{preset.flow}").FLOW
    with named_for(preset.name):
        made: Run = chosen(preset.settings, runtime or preset.runtime)
    return made
