"""Help: the texts of `jaxdiff COMMAND --help`, which lie in files so that they are there at once.

python -m jaxdiff.cli.help writes them anew
"""

import ast
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from jaxdiff.cli import data, demo, doctor, evaluate, runs, sample
from jaxdiff.cli.main import COMMANDS, HELP
from jaxdiff.cli.parser import Parser, commands_of
from jaxdiff.cli.settings import described
from jaxdiff.config.names import Part
from jaxdiff.config.parts import PARTS
from jaxdiff.config.schema import FIELDS

__all__ = ["CONFIGS", "texts", "write"]

CONFIGS = Path(__file__).parents[1] / "configs"
WIDTH = 110
TRAIN = """jaxdiff train: train a model, or go on with one

Examples:
  jaxdiff train --config ddpm                             the digits that come with scikit-learn, minutes on 2 CPU cores
  jaxdiff train --config edm:folder=PHOTOS --minutes 15   your own pictures; sub-folders are classes
  jaxdiff train --config edm --config.train.steps=3000 --workdir runs/longer
  jaxdiff train --config my_config.py:setting             a file of your own with get_config(setting)

The same command again goes on where the run stopped, also after a crash and on another number of devices.

Options:
  --config NAME[:SETTING]   one of the configurations below, or the path of a file.py
  --config.FIELD=VALUE      any of the settings below, and any argument of what is named there
  --workdir FOLDER          the run's folder; by default one of its own under runs/
  --minutes N               train for about so long: the steps are fitted to that, by timing some
  --init PATH               begin with the weights of this run or model folder, as far as they fit
  --quiet                   say nothing but errors

On several machines, the same command on each, with a --workdir that all of them see. Where JAX does not find the
others by itself (as it does on TPU pods, Slurm, Open MPI, Kubernetes), also:
  --coordinator HOST:PORT   of process 0
  --processes N             how many processes there are
  --process I               which of them this is, from 0
  --timeout SECONDS         to wait for the others; 300 by default
"""
TOP = """jaxdiff: diffusion models in pure JAX functions

Examples:
  jaxdiff sample --model openmoji --num 16                pictures at once, of a model that comes with the library
  jaxdiff train --config ddpm                             the digits that come with scikit-learn, minutes on 2 CPU cores
  jaxdiff sample --workdir runs/ --num 16                 draw from the newest run
  jaxdiff train --config edm:folder=PHOTOS --minutes 15   your own pictures

Commands, each with a --help of its own:
{commands}

Every command takes --quiet. From Python: jaxdiff.train, jaxdiff.load, jaxdiff.show.
"""
COMPLETION = """jaxdiff completion: {what}

Examples:
  eval "$(jaxdiff completion bash)"                  in ~/.bashrc
  eval "$(jaxdiff completion zsh)"                   in ~/.zshrc
  jaxdiff completion fish | source                   in ~/.config/fish/config.fish
"""


def texts() -> dict[str, str]:
    """The help of each command, and that of `jaxdiff` itself."""
    os.environ["COLUMNS"] = str(WIDTH)
    commands = "\n".join(f"  {name:<12}{what}" for name, what in COMMANDS.items())
    made = {
        "jaxdiff": TOP.format(commands=commands),
        "train": "\n".join([TRAIN, "Configurations:", *_configs(), "", "Settings:", *_settings(), "", *_names(PARTS)]),
        "completion": COMPLETION.format(what=COMMANDS["completion"]),
    }
    modules = {"sample": sample, "evaluate": evaluate, "demo": demo, "data": data, "runs": runs, "doctor": doctor}
    for name, module in modules.items():
        parser = module.make_parser()
        made[name] = f"jaxdiff {name}: {COMMANDS[name]}\n\n{parser.format_help()}"
        made |= {f"{name}-{below}": text for below, text in _below(parser).items()}
    return {name: f"{text.rstrip()}\n" for name, text in made.items()}


def _below(parser: Parser) -> dict[str, str]:
    """The help of the commands below one, with those of its examples that are of them."""
    made = {}
    for name, (what, below) in commands_of(parser).items():
        lines = [line for line in (parser.description or "").splitlines() if line.startswith(f"  {parser.prog} {name}")]
        below.description = "\n".join(["Examples:", *lines])
        made[name] = f"{parser.prog} {name}: {what}\n\n{below.format_help()}"
    return made


def _configs() -> Iterator[str]:
    """Each configuration with its first line, and its settings."""
    for file in sorted(CONFIGS.glob("[a-z]*.py")):
        doc = ast.get_docstring(ast.parse(file.read_text())) or ""
        yield f"  {file.stem:<18}{doc.partition(chr(10))[0].rstrip('.')}"
        settings = dict.fromkeys(re.findall(rf"--config=configs/{file.stem}\.py:([^\s,]+)", doc))
        if settings:
            yield f"  {'':<18}  :{', :'.join(settings)}"


def _settings() -> Iterator[str]:
    """Each field with what it is, its values and default."""
    section = None
    for name, field in FIELDS.items():
        if name.partition(".")[0] != section:
            section = name.partition(".")[0]
            yield ""
        kind, default, free = described(field)
        told = f"{field.help} ({kind}{f'; {default}' if default else ''}{'; may change on resume' if free else ''})"
        lines = textwrap.wrap(told.replace("`", ""), WIDTH - 36)
        yield f"  --config.{name:<24} {lines[0]}"
        yield from (" " * 36 + line for line in lines[1:])


def _names(parts: dict[str, Part], above: str = "") -> Iterator[str]:
    """What may stand where a setting names a function; the page of settings has the arguments of each."""
    if not above:
        yield "Names, or package.module:name for your own; `python -m jaxdiff.cli.settings` has the arguments of each:"
    seen = set()
    for place, part in parts.items():
        if id(part) not in seen and not (above and part in PARTS.values()):
            seen.add(id(part))
            lines = textwrap.wrap(f"--config.{above}{place}.name: {', '.join(sorted(part.known))}", WIDTH - 6)
            yield from (f"{'      ' if i else '  '}{line}" for i, line in enumerate(lines))
            yield from _names(dict(part.inner), f"{above}{place}.")


def write() -> None:
    """Write the files."""
    HELP.mkdir(exist_ok=True)
    for name, text in texts().items():
        (HELP / f"{name}.txt").write_text(text)


if __name__ == "__main__":
    write()
