"""Examples:

  jaxdiff sample --workdir runs/                       the newest run, its own sampler
  jaxdiff sample --model openmoji --label face --guidance 2 --num 16    of the model that comes with the library
  jaxdiff sample --workdir runs/ddpm --sampler ddim --steps 50 --num 100
  jaxdiff sample --workdir runs/ddpm --sampler heun --option churn=0.1 --steps 100
  jaxdiff sample --workdir runs/text --prompt "a red seven above a green three" --guidance 3 --num 4
  jaxdiff sample --model stable-diffusion-v1-5/ --prompt "a red seven" --guidance 7.5 --steps 20 --num 1
  jaxdiff sample --workdir runs/vdm --likelihood       bits per dimension of its held-out data, and no pictures
  jaxdiff sample --workdir runs/audio --task extend --given 0.1 --input FILE.wav
  jaxdiff sample --workdir runs/conformers --smiles "CCO" --num 10 --out conformers.sdf      or --ccd BNZ
  jaxdiff sample --workdir runs/ddpm --task inpaint --input FILE --mask left
                                                       and others: `python -m jaxdiff.cli.settings` lists all tasks

Samplers are the names of jaxdiff.samplers. Writes into the run's folder, under samples/: samples.npy, samples.json (how
they were drawn, with which weights), and, of images (float32, (num, height, width, channels), near [-1, 1]), grid.png
and the reverse process of the first as chain.gif and chain.png; of tables (float64, (num, columns), in the table's own
units) samples.csv, figure.png with real rows beside, and chain.png; of text samples.txt, samples.png and chain.gif; of
sounds samples.wav, waves/ and spectrograms; of videos samples.gif, clips/ and film strips.
"""

import argparse
import contextlib
import json
import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
from tqdm.auto import tqdm

from jaxdiff.cli import conform, latents, modes, preview, prompts, shape, tasks
from jaxdiff.cli.fill import filled
from jaxdiff.cli.parser import Parser
from jaxdiff.cli.written import Rows, claimed
from jaxdiff.config import build
from jaxdiff.config import record as run_record
from jaxdiff.config.names import in_words
from jaxdiff.config.sampling import OPTIONS
from jaxdiff.config.schema import check_fields
from jaxdiff.errors import InputError, unknown
from jaxdiff.evaluation import held_out
from jaxdiff.modalities import find, require
from jaxdiff.pipelines.conditions import Given
from jaxdiff.pipelines.foreign import is_foreign
from jaxdiff.pipelines.load import load, released
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite
from jaxdiff.pipelines.pipeline import class_number
from jaxdiff.pipelines.progress import is_shown
from jaxdiff.training.errors import explained
from jaxdiff.training.sharding import use_compilation_cache, use_cpu_devices
from jaxdiff.types import Batch

__all__ = [
    "FRAMES",
    "OPTIONAL",
    "check",
    "draw",
    "main",
    "make_parser",
    "opened",
    "parse_option",
    "real_examples",
    "report",
    "sampling",
]

FRAMES = 60
STATES = 2**28
"""Bytes of the states of all examples that may be held at once."""
Told = Callable[[int], Given]
"""`n -> ` what is known of the first n examples."""
OPTIONAL = ("eta", "variance", "temperature", "clip", "threshold", "cache", "guidance")
"""Options of samplers that have an argument of their own."""


def make_parser(task: str | None = None, latent: bool = False) -> Parser:
    """The flags, of the house or of Stable Diffusion (latent), and those of a task from outside, if it is asked for."""
    num, batch = (1, 4) if latent else (64, 256)
    parser = Parser("jaxdiff sample", usage="jaxdiff sample [options]", description=__doc__)
    what = parser.add_argument_group("what to draw").add_argument
    what(
        "--workdir",
        "--model",
        default="runs/",
        help="a run, the newest of a folder of runs, a model folder, a released model (openmoji, scenes), or Stable "
        "Diffusion: a folder of diffusers or a single .safetensors",
    )
    what("--weights", default="", help="a run's average by name; params; or a number, the width of one made afterwards")
    what("--num", type=int, default=num, help="how many examples (64; of Stable Diffusion 1)")
    what("--label", help="class to draw, by number or name, where the model has classes; in turn by default")
    prompts.add_arguments(what)
    shape.add_arguments(what)
    what("--seed", type=int, default=0, help="of all noise (0)")
    what("--first", type=int, default=0, help="number of the first example of the seed (0)")
    what("--batch", type=int, default=batch, help="how many of them at once; they are the same in any (256; 4)")
    what("--json", action="store_true", help="print what was drawn, how, and where it is, as JSON")
    what("--atoms", type=int, help="of molecules: how many atoms each has; as often as the data has it by default")
    what("--property", type=float, help="of molecules: the property that a model was trained to be told, in its units")
    what("--fill", metavar="TEXT", help="of text: draw what is blank, the underscores of this text")
    conform.add_arguments(what)
    what("--out", help="a folder to write to; by default samples/ in the run's own")
    how = parser.add_argument_group("how to draw").add_argument
    how("--sampler", help="ancestral, ddim, heun, dpmpp_2m, unipc ...; the run's own by default")
    how("--steps", type=int, help="steps of the sampler; the run's own by default")
    how("--guidance", type=float, help="scale of classifier-free guidance")
    how("--eta", type=float, help="ddim: share of the ancestral noise, 0 to 1")
    how("--variance", help="ancestral: fixed_small, fixed_large or learned")
    how("--temperature", type=float, help="factor on the noise of each step")
    how("--clip", type=float, help="bound on the predicted data; inf for none")
    how("--threshold", type=float, help="quantile for dynamic thresholding, 0 to 1")
    how("--cache", type=int, help="compute the deeper levels at every so many steps only: faster, less exact")
    how("--option", action="append", default=[], metavar="NAME=VALUE", help="any other of the sampler's")
    latents.add_arguments(parser.add_argument_group("of Stable Diffusion").add_argument)
    tasks.add_arguments(parser, task)
    measure = parser.add_argument_group("instead of drawing").add_argument
    measure("--likelihood", action="store_true", help="report bits per dimension of held-out data")
    measure("--examples", type=int, help="of the held-out data; all, but not over 1,000, by default")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 if all went well, 2 for bad input."""
    words = sys.argv[1:] if arguments is None else arguments
    before = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    before.add_argument("--task")
    before.add_argument("--workdir", "--model", default="runs/")
    try:
        asked = before.parse_known_args(words)[0]
        given = make_parser(asked.task, is_foreign(asked.workdir)).parse_args(words)
        use_compilation_cache()
        with explained("lower --batch"):
            check(given)
            (report if given.likelihood else draw)(given)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def check(arguments: argparse.Namespace) -> None:
    """Refuse numbers out of their range, and what would be ignored."""
    for name in ("num", "batch"):
        if getattr(arguments, name) < 1:
            raise InputError(f"--{name} {getattr(arguments, name)}: draw at least one example")
    if not 0 <= arguments.seed < 2**32:
        raise InputError(f"--seed {arguments.seed}: must be from 0 to {2**32 - 1}")
    if arguments.first < 0:
        raise InputError(f"--first {arguments.first}: must be a number from 0")
    modes.check(arguments, make_parser(arguments.task, is_foreign(arguments.workdir)).parse_args([]), OPTIONAL)
    prompts.check(arguments)
    shape.check(arguments)
    latents.check(arguments)
    tasks.check(arguments, sampling(arguments), latents.SHARED if is_foreign(arguments.workdir) else ())


def sampling(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of the sampler."""
    given = dict(map(parse_option, arguments.option))
    if foreign := [name for name in given if name not in OPTIONS]:
        raise unknown("--option", foreign[0], OPTIONS)
    own = {name: value for name in OPTIONAL if (value := getattr(arguments, name)) is not None}
    if twice := sorted(own.keys() & given.keys()):
        raise InputError(f"--{twice[0]}: is given by --option, too: leave one of them out")
    return own | given


def opened(workdir: str) -> tuple[Path, dict]:
    """The run and its configuration; JAX then uses as many devices as it trained on."""
    folder = run_record.find(released(workdir))
    config = run_record.read_record(folder).config
    check_fields(config)
    use_cpu_devices(config["train"]["cpu_devices"])
    return folder, config


def is_released(workdir: str) -> bool:
    """Tell whether a model that comes with the library is named: what is drawn is written to the current folder."""
    return str(released(workdir)) != workdir


def draw(arguments: argparse.Namespace) -> None:
    """Do what the command line says."""
    if is_foreign(arguments.workdir):
        latents.drawn(arguments, sampling(arguments))
        return
    folder, config = opened(arguments.workdir)
    model, options = load(folder, arguments.weights), sampling(arguments)
    name, place = (arguments.workdir, Path()) if is_released(arguments.workdir) else (folder, folder)
    out = Path(arguments.out or place / "samples").expanduser()
    arguments.label = None if arguments.label is None else class_number(arguments.label, model)
    if arguments.task:
        require(tasks.find(arguments.task).modality, model.spec, f"--task {arguments.task}")
        print(f"{name}: {model.weights}; compiling, and then drawing", flush=True)
        options |= {name: value for name in ("steps", "sampler") if (value := getattr(arguments, name)) is not None}
        tasks.perform(arguments, out, config, model, options)
        return
    if arguments.fill is not None:
        filled(arguments, out, model, options)
        return
    if conform.is_asked(arguments, model):
        conform.conformed(arguments, out, model, options)
        return
    model = shape.shaped(model, arguments)
    steps = model.steps if arguments.steps is None else arguments.steps
    told = prompts.make_told(arguments, model)
    condition = model.check_condition(told(arguments.num), arguments.num, first=arguments.first)
    options |= prompts.options_of(arguments)
    if not arguments.json:
        sampler = arguments.sampler or in_words(model.sampler["name"])
        print(f"{name}: {model.weights}, {sampler}, {steps} steps; compiling, and then drawing", flush=True)
    begin = time.perf_counter()
    with claimed(out) as out:
        chain, whole = draw_chain(arguments, out, model, steps, options, told)
        rows = draw_rows(arguments, out, model, steps, options, told, whole)
        drawn, beside = Batch(np.load(rows.path, mmap_mode="r"), condition), real_examples(config, model)
        seen = show_of(model).save_samples(out, model.spec, drawn, beside, model.weights)
        del drawn
        rows.path.replace(out / "samples.npy")
        record = vars(arguments) | {"workdir": str(folder), "weights": model.weights, "steps": steps}
        (out / "samples.json").write_text(json.dumps(record, indent=2) + "\n")
    seconds = time.perf_counter() - begin
    first, *others = seen + chain
    if arguments.json:
        print(json.dumps(record | {"out": str(out), "files": ["samples.npy", *seen, *chain], "seconds": seconds}))
        return
    print(f"{arguments.num} drawn in {seconds:.1f} s; look at {out / first}, {' and '.join(others)} there")


def draw_chain(
    arguments: argparse.Namespace, out: Path, model: Model, steps: int, options: dict, told: Told
) -> tuple[list[str], np.ndarray | None]:
    """Show the reverse process of the first examples.

    Returns: the names of the files; and all examples, where they and their states are few enough to be drawn at once,
      which spares the compilation of a second program.
    """
    show, key = show_of(model), jax.random.key(arguments.seed)
    first, frames = min(show.CHAIN, arguments.num), min(FRAMES, steps + 1)
    whole = arguments.num <= arguments.batch and 4 * frames * arguments.num * math.prod(model.shape) <= STATES
    drawn = arguments.num if whole else first
    given = {"condition": told(drawn), "first": arguments.first, **options}
    x, states = model.trajectory(key, drawn, frames, steps, arguments.sampler, **given)
    states = finite(np.asarray(states)[:, :first].swapaxes(0, 1)).swapaxes(0, 1)
    names = show.save_chain(out, model.spec, states, model.weights)
    return names, model.codec.decode(finite(np.asarray(x))) if whole else None


def draw_rows(
    arguments: argparse.Namespace,
    out: Path,
    model: Model,
    steps: int,
    options: dict,
    told: Told,
    whole: np.ndarray | None = None,
) -> Rows:
    """Draw all examples into samples.part.npy, which stays, readable, if it ends early.

    Args:
      whole: all of them, if they have been drawn.

    Raises:
      KeyboardInterrupt, OSError: with a last line that says how to go on.
      InputError: some examples are not finite; then nothing is left.
    """
    rows = Rows(out / "samples.part.npy")
    given = {"condition": told(arguments.num), "first": arguments.first, **options}
    key = jax.random.key(arguments.seed)
    stream = model.stream(key, arguments.num, arguments.batch, steps, arguments.sampler, **given)
    try:
        with tqdm(
            total=arguments.num, unit="example", disable=arguments.num <= arguments.batch or not is_shown()
        ) as bar:
            for batch in stream if whole is None else [whole]:
                rows.append(batch)
                bar.update(len(batch))
        rows.close()
    except (KeyboardInterrupt, OSError):
        rows.close()
        if rows.count:
            rest = f"--first {arguments.first + rows.count} --num {arguments.num - rows.count}"
            print(f"{rows.count} of {arguments.num} are in {rows.path}; the same command with {rest} draws the others")
        raise
    except InputError:
        rows.close()
        rows.path.unlink(missing_ok=True)
        raise
    return rows


def show_of(model: Model) -> ModuleType:
    """The module that shows and saves examples of the model's modality."""
    return find(model.spec.modality, "show")


def real_examples(config: dict, model: Model) -> Batch | None:
    """Real examples beside those drawn, where the modality shows some; without, and said so, if they cannot be read."""
    if not show_of(model).BESIDE:
        return None
    try:
        return preview.decoded(model, preview.compared(config, model))
    except InputError as error:
        print(f"no real data is shown beside: {error}", file=sys.stderr)
        return None


def report(arguments: argparse.Namespace) -> None:
    """Print bits per dimension of the run's held-out data, and write them to likelihood.json in its folder."""
    folder, config = opened(arguments.workdir)
    model = load(folder, arguments.weights)
    source = build.held_out(config, model.spec)
    n = min(source.size, 1000) if arguments.examples is None else arguments.examples
    chain = config["sample"]["grid"].get("total", 0) if config["process"]["name"] == "ddpm" else 0
    told = {"unit": held_out.unit_of(model.spec), "weights": model.weights, "examples": n}
    print(f"{folder}: {model.weights}, {n} held-out examples, {told['unit']}")
    figures = held_out.measure(model, source, jax.random.key(arguments.seed), n, chain=chain)
    if lost := [name.strip() for name, figure in figures.items() if not np.isfinite(figure).all()]:
        raise InputError(f"{', '.join(lost)}: not finite with {model.weights}: take other --weights")
    for name, figure in figures.items():
        print(f"{name:24} {figure.mean:7.3f} ± {figure.error:.3f}")
    content = {name.strip(): figure._asdict() for name, figure in figures.items()} | told
    out = Path(arguments.out or (Path() if is_released(arguments.workdir) else folder)).expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "likelihood.json").write_text(json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"cannot write to {str(out)!r}: {error.strerror or error}") from error


def parse_option(text: str) -> tuple[str, float | int | str]:
    """`NAME=VALUE`, with a value that is a number where it can be."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"--option {text}: must be NAME=VALUE")
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return name, kind(value)
    return name, value
