"""Command: what the command line of train.py says, or one clear line of what is wrong with it.

A field that the configuration has is set by ml_collections. An argument of what it names (`jaxdiff.config.parts`) may
be left out there; it is set by the function's own parameters (`jaxdiff.config.overrides`).
"""

import difflib
import inspect
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from jaxdiff.config import overrides
from jaxdiff.config.schema import FIELDS
from jaxdiff.errors import SYNONYMS, InputError, unknown

__all__ = ["CONFIGS", "FLAG", "Command", "default_workdir", "known_configs", "located", "named", "parse"]

CONFIGS = Path(__file__).parents[1] / "configs"
OPTIONS = ("workdir", "init", "minutes", "quiet", "coordinator", "processes", "process", "timeout", "help")
FLAG = re.compile(r"--?config\.([^=]+)(=?)(.*)", re.DOTALL)


class Command(NamedTuple):
    """The configuration that `--config` asks for, the run's folder, `--workdir` or by default one under runs/, and the
    dotted names of the fields that were set, which nothing else may choose.
    """

    config: dict
    workdir: Path
    fixed: tuple[str, ...]


def parse(argv: Sequence[str], values: flags.FlagValues) -> Command:
    """What the command line says."""
    argv = located(argv)
    try:
        before = _file(argv)
        argv, further = _split(argv, before)
        help_ = "The experiment: a file of configs/, or file.py:setting."
        config_flags.DEFINE_config_file("config", None, help_, flag_values=values, sys_argv=argv)
        rest = values(argv)[1:]
        config = values["config"].value
        config = config and config.to_dict()
    except InputError:
        raise
    except Exception as error:  # absl and ml_collections raise all kinds, and a config file may raise any
        reason = str(error).partition("Traceback")
        if wrong := re.search(r"Unknown command line flag '([\w-]+)", reason[0]):
            raise _unknown_option(wrong[1]) from error
        line = " ".join((reason[2].strip().splitlines()[-1] if reason[1] else reason[0]).split())
        raise InputError(line.removeprefix("jaxdiff.errors.InputError: ")) from error
    if rest:
        raise InputError(f"unexpected {rest[0]!r}: give options alone, such as --config {_near(rest[0])}")
    if not config:
        raise InputError(f"give --config ddpm, or another of {', '.join(known_configs())}, or a file.py")
    for field, text in sorted(further, key=_order):
        overrides.put(config, field, text)
    chosen = [*config_flags.get_override_values(values["config"]), *(field for field, _ in further)]
    config = overrides.settled(config, before.to_dict() if isinstance(before, ConfigDict) else {}, chosen)
    file = config_flags.get_config_filename(values["config"])
    return Command(config, Path(values["workdir"].value or default_workdir(file)), tuple(chosen))


def named(setting: str) -> dict:
    """The configuration that `--config SETTING` asks for: `ddpm`, `ddpm:folder=PATH`, or a file.py.

    Raises:
      InputError: there is none.
    """
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "the run's folder", flag_values=values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of how ml_collections imports a file
        return parse(["jaxdiff", f"--config={setting}"], values).config


def known_configs() -> list[str]:
    """The names of the library's own configurations."""
    return sorted(file.stem for file in CONFIGS.glob("[a-z]*.py"))


def _near(word: str) -> str:
    """The configuration that a word alone may mean, with its setting; by default ddpm."""
    name, colon, setting = word.partition(":")
    near = difflib.get_close_matches(name, known_configs(), 1)
    return f"{near[0]}{colon}{setting}" if near else "ddpm"


def located(argv: Sequence[str]) -> list[str]:
    """The arguments with the name of a configuration, `--config NAME:SETTING`, as the path of its file.

    Raises:
      InputError: there is no configuration of this name.
    """
    argv = list(argv)
    for i, arg in enumerate(argv):
        if arg in ("--config", "-config") and i + 1 < len(argv):
            argv[i + 1] = _path_of(argv[i + 1])
        elif match := re.fullmatch("(--?config=)(.*)", arg, re.DOTALL):
            argv[i] = match[1] + _path_of(match[2])
    return argv


def _unknown_option(name: str) -> InputError:
    """An error that names the nearest option, or the field of this name."""
    last = SYNONYMS.get(name.replace("-", "_"), name.replace("-", "_"))
    fields = [field for field in FIELDS if field.split(".")[-1] == last]
    if fields:
        field = min(fields, key=lambda field: not field.startswith("train."))
        return InputError(f"unknown option '--{name}' (did you mean '--config.{field}'?): see jaxdiff train --help")
    return unknown("option", f"--{name}", ["--config", *(f"--{option}" for option in OPTIONS)])


def _path_of(setting: str) -> str:
    name, colon, rest = setting.partition(":")
    if name.endswith(".py") or "/" in name:
        if not Path(name).is_file():
            near = difflib.get_close_matches(Path(name).stem, known_configs(), 1)
            meant = f" (did you mean --config {near[0]}?)" if near else ""
            raise InputError(f"--config {name}: there is no such file{meant}: give a file.py, or a name of --help")
        return setting
    if name not in known_configs():
        raise unknown("configuration", name, [*known_configs(), "the path of a file.py"])
    return f"{CONFIGS / name}.py{colon}{rest}"


def default_workdir(config_file: str) -> Path:
    """`runs/ddpm` for configs/ddpm.py, `runs/ddpm-cifar10` for configs/ddpm.py:cifar10, ..."""
    file, _, setting = config_file.partition(":")
    name, _, path = setting.partition("=")
    return Path("runs") / "-".join(part for part in (Path(file).stem, name, Path(path).stem) if part)


def _file(argv: Sequence[str]) -> Any:
    """The configuration as the file has it; something else if there is no such file, as the flags themselves say."""
    plain = flags.FlagValues()
    bare = [arg for arg in argv if not FLAG.match(arg)]
    config_flags.DEFINE_config_file("config", None, flag_values=plain, sys_argv=bare)
    plain(bare, known_only=True)
    return plain["config"].value


def _split(argv: Sequence[str], config: Any) -> tuple[list[str], list[tuple[str, str]]]:
    """The arguments without, and `(field, text)` of, those for fields that the configuration does not have.

    As everywhere a value may be an argument of its own, and none means True.
    """
    known: list[str] = []
    further: list[tuple[str, str]] = []
    left = list(argv)
    anew = {m[1].removesuffix(".name"): m[3] for m in map(FLAG.match, argv) if m and m[1].endswith(".name")}
    while left:
        arg = left.pop(0)
        match = FLAG.match(arg)
        settable = not match or not isinstance(config, ConfigDict) or _settable(config, *match.groups())
        if not match or (settable and not _is_switch(match[1], anew)):
            known.append(arg)
        elif match[2]:
            further.append((match[1], match[3]))
        else:
            further.append((match[1], left.pop(0) if left and not re.match("--?[a-z]", left[0]) else "True"))
    return known, further


def _settable(config: Any, field: str, given: str, text: str) -> bool:
    """Tell whether ml_collections can set a field: it is there, and stays fields by name if it holds these."""
    *parents, _ = names = field.split(".")
    for name in names:
        if not isinstance(config, ConfigDict) or name not in config:
            return False
        config = config[name]
    listed = isinstance(config, ConfigDict) and given and not text.lstrip().startswith("{")
    return not (listed and overrides.part_at(parents))


def _is_switch(field: str, anew: Mapping[str, str]) -> bool:
    """Tell whether a field is True or False to a function that is named anew; to the one before it may be a row.

    Args:
      anew: the names that the command line gives, by place.
    """
    place, _, last = field.rpartition(".")
    part, name = overrides.part_at(place.split(".")), anew.get(place, "")
    takes = inspect.signature(part.known[name]).parameters if part and name in part.known else {}
    return last in takes and takes[last].annotation is bool


def _order(field_and_text: tuple[str, str]) -> tuple[int, bool]:
    """Parts before what is within them, and names before arguments."""
    field = field_and_text[0]
    return field.count("."), not field.endswith((".name", ".corrector"))
