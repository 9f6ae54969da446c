"""The command line: `featuremill VERB`. Every verb is a module here, found by its name.

A verb's module has HELP, `add_arguments(parser)` and `run(arguments) -> int`, and imports what is
heavy inside `run`: listing artifacts must not pay for Prefect, nor a cached run for torch.

Exit codes: 0 done; 1 it could not be done; 2 the command or preset is wrong; 3 damage was found;
130 stopped.
"""

import argparse
import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from conf.errors import FeaturemillError, did_you_mean
from conf.runtime import Runtime

DONE, FAILED, WRONG, DAMAGED = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; errors meant for the user are printed without a
    traceback."""
    _stay_offline()
    words = list(sys.argv[1:] if arguments is None else arguments)
    verbs = [found.name for found in pkgutil.iter_modules(__path__)]
    if words and words[0] not in (*verbs, "-h", "--help"):
        return _refuse(
            f"featuremill has no verb {words[0]!r}. {did_you_mean(words[0], verbs)}", WRONG
        )
    given = _given(words, verbs)
    given.alone = arguments is None
    try:
        code = int(given.run(given))
        sys.stdout.flush()  # a pipe that nobody reads breaks here, not when Python ends
    except FeaturemillError as problem:
        return _refuse(_text(problem), problem.exit_code)
    except BrokenPipeError:  # the reader of our output, `head` perhaps, had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def _given(words: Sequence[str], verbs: Sequence[str]) -> argparse.Namespace:
    if words and words[0] in verbs:  # no other verb is imported
        return read_words(words[0], words[1:])
    parser = argparse.ArgumentParser(
        prog="featuremill", description="Turn images and text into features that people can trust."
    )
    choices = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name in verbs:
        choices.add_parser(name, help=importlib.import_module(f"flows.cli.{name}").HELP)
    return parser.parse_args(words[:1])  # tells the verbs, and ends


def read_words(verb: str, words: Sequence[str]) -> argparse.Namespace:
    """Return what `words`, which follow a verb, say, in whatever order words and flags stand.

    `parse_args` wants optional words in a row; but it alone knows that behind "--" is no flag.
    """
    parser = verb_parser(verb)
    return parser.parse_args(words) if "--" in words else parser.parse_intermixed_args(words)


def verb_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of what follows a verb."""
    module = importlib.import_module(f"flows.cli.{name}")
    parser = argparse.ArgumentParser(prog=f"featuremill {name}", description=module.HELP)
    parser.add_argument("--json", action="store_true", help="print one JSON value for machines")
    parser.add_argument("--store", help="the store's directory (default: FEATUREMILL_STORE)")
    parser.add_argument("--models", help="where weights lie (default: FEATUREMILL_MODELS)")
    module.add_arguments(parser)
    parser.set_defaults(run=module.run, alone=False)  # alone: the process ends with the verb
    return parser


def add_preset(parser: argparse.ArgumentParser) -> None:
    """Add the preset and its changes, as every verb that goes through a flow has them."""
    parser.add_argument("preset", metavar="PRESET|FILE", help="a preset's name, or a TOML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="change one setting, such as model.precision=bf16 or runtime.batch_size=32",
    )


def print_answer(header: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool) -> None:
    """Print rows as a table for people, or as one JSON list of objects."""
    if as_json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
        return
    from tasks.pages.tables import as_text

    print(as_text(header, [tuple(_cell(value) for value in row) for row in rows]))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def runtime_of(given: argparse.Namespace, base: Runtime | None = None) -> Runtime:
    """Return `base`, or the environment's runtime, with the places that the flags name."""
    if given.store:
        os.environ["FEATUREMILL_STORE"] = given.store
    if given.models:
        os.environ["FEATUREMILL_MODELS"] = given.models
    places = Runtime()
    named = {
        name: getattr(places, name)
        for name in ("store", "models")
        if getattr(given, name) or not base
    }
    return (base or places).model_copy(update=named)


def print_json(content: Any) -> None:
    """Print `content` as one JSON value; arrays a row at a time, for as text they are large."""
    sys.stdout.writelines(_json(content, "\n"))
    print()


def _json(content: Any, margin: str) -> Iterator[str]:
    if isinstance(content, dict) and content and all(isinstance(name, str) for name in content):
        names = (f"{json.dumps(name, ensure_ascii=False)}: " for name in content)
        yield from _inside("{}", zip(names, content.values(), strict=True), margin)
    elif getattr(content, "ndim", 0) > 1 and len(content):
        yield from _inside("[]", (("", row) for row in content), margin)
    elif hasattr(content, "tolist"):
        yield json.dumps(content.tolist())
    else:
        yield json.dumps(content, indent=1, ensure_ascii=False).replace("\n", margin)


def _inside(brackets: str, items: Iterable[tuple[str, Any]], margin: str) -> Iterator[str]:
    before = brackets[0]
    for name, value in items:
        yield f"{before}{margin} {name}"
        yield from _json(value, f"{margin} ")
        before = ","
    yield f"{margin}{brackets[1]}"


def _refuse(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code


def _text(problem: BaseException) -> str:
    return "\n".join([str(problem), *getattr(problem, "__notes__", [])])


def _stay_offline() -> None:
    """Keep libraries from looking around the network, unless the user has set it otherwise."""
    for name in ("DO_NOT_TRACK", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
