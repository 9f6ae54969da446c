"""Prompt features: vocabularies said in templates, one artifact per template id."""

from conf.models import ModelSpec
from conf.prompts import Preset, PromptRecipe, PromptSet
from conf.runtime import Runtime
from flows.run import Run, run_name
from storage.drafts import Making
from storage.store import Artifact
from tasks.declaring import flow
from tasks.prompts import encode_prompts


@flow(name="prompts", flow_run_name=run_name("prompts"))
def prompt_features(preset: Preset, runtime: Runtime | None = None) -> Run:
    """Encode every prompt set of `preset`; a changed one leaves the others alone."""
    run = Run("prompts", runtime or Runtime())
    model = run.resolve(preset.model)
    for template_id, prompts in preset.prompts.items():
        make_prompts(run, model, prompts, template_id)
    return run.close()


def make_prompts(run: Run, model: ModelSpec, prompts: PromptSet, name: str) -> Artifact:
    """Return the text features of `prompts`, made where they are missing."""
    recipe = PromptRecipe(model=model, prompts=prompts)
    return run.make(name, Making(recipe, {}, prompts.vocabulary), encode_prompts)


FLOW = prompt_features
