"""The command `jaxdiff`: help, completion, typing errors, runs and the doctor."""

import json
import re
import subprocess
import sys

import pytest

from jaxdiff.cli import completion, doctor, runs
from jaxdiff.cli.main import COMMANDS, HELP, main
from jaxdiff.config.record import Record, write_record
from tests.helpers.configs import SPEC, changed

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # of ml_collections


@pytest.fixture(autouse=True)
def streams(monkeypatch):
    """A program replaces its own."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))


FACTS = {
    "packages": {"jax": "0.10.2", "jaxlib": "0.10.2"},
    "backend": "cpu",
    "error": "",
    "platforms_set": "",
    "nvidia": "",
    "nvidia_on_bus": False,
    "tpu": False,
    "cache": "/cache",
    "cache_writable": True,
    "disk_free_gb": 50.0,
}
WRONG = {
    "a GPU without a plugin": ({"nvidia": "570.1"}, r"jaxdiff\[cuda\]"),
    "a GPU without a driver": ({"nvidia_on_bus": True}, "driver"),
    "a GPU that is hidden": ({"nvidia": "570.1", "platforms_set": "cpu"}, "JAX_PLATFORMS=cpu hides"),
    "an old driver": (
        {"nvidia": "470.1", "packages": {"jax": "0.10.2", "jaxlib": "0.10.2", "jax-cuda12-plugin": "0.10.2"}},
        "470.1 is older than 525",
    ),
    "a GPU that is not found": (
        {"nvidia": "570.1", "packages": {"jax": "0.10.2", "jaxlib": "0.10.2", "jax-cuda12-plugin": "0.10.2"}},
        "does not find it",
    ),
    "a TPU": ({"tpu": True}, r"jaxdiff\[tpu\]"),
    "another plugin": (
        {"packages": {"jax": "0.10.2", "jaxlib": "0.10.2", "jax-cuda12-plugin": "0.9.0"}, "backend": "gpu"},
        "install them together",
    ),
    "another jaxlib": ({"packages": {"jax": "0.10.2", "jaxlib": "0.9.1"}}, "jaxlib 0.9.1 differ"),
    "no device": ({"backend": "", "error": "boom"}, "JAX finds no device: boom"),
    "a cache that cannot be written": ({"cache_writable": False}, "JAX_COMPILATION_CACHE_DIR"),
    "a full disk": ({"disk_free_gb": 0.2}, "0.20 GB are free"),
}


@pytest.fixture
def a_run(tmp_path):
    """A run of three steps, without arrays, and its folder."""
    folder = tmp_path / "runs" / "one"
    write_record(folder, Record(changed("train.steps", 3), SPEC))
    for step in (1, 2, 3):
        (folder / "checkpoints" / str(step)).mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"step": 3, "loss": 0.5}\n')
    return folder


def test_help_is_what_the_parsers_and_the_schema_say():
    """`python -m jaxdiff.cli.help` writes it anew."""
    from jaxdiff.cli.help import texts

    made = texts()
    assert {*COMMANDS, "jaxdiff", "runs-prune", "data-inspect"} <= made.keys()
    assert {file.stem for file in HELP.glob("*.txt")} == made.keys()
    for name, text in made.items():
        assert (HELP / f"{name}.txt").read_text() == text


@pytest.mark.parametrize("name", [*COMMANDS, ""])
def test_help_begins_with_examples_and_needs_no_jax(name):
    ask = f"import sys; from jaxdiff.cli.main import main; main({[*filter(None, [name]), '--help']}); "
    ask += "sys.exit('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert "Examples:" in done.stdout[:400]
    if name not in ("", "completion", "runs", "doctor"):
        assert "--" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown command 'trian' (did you mean 'train'?)"),
        (["train", "--config", "ddmp"], "unknown configuration 'ddmp' (did you mean 'ddpm'?)"),
        (["train", "--config", "ddpm", "--wrokdir=x"], "did you mean '--workdir'?"),
        (["train", "--config", "ddpm", "--config.train.stpes=3"], "did you mean 'steps'?"),
        (["train"], "give --config ddpm, or another of anoddpm"),
        (["train", "ddmp:cifar10"], "unexpected 'ddmp:cifar10': give options alone, such as --config ddpm:cifar10"),
        (["sample", "--model", "openmoij"], "at 'openmoij' (did you mean 'openmoji'?): train one with `jaxdiff train"),
        (["sample", "--stpes", "3"], "did you mean --steps?"),
        (["data", "inspect", "digits", "--sise", "3"], "unknown option --sise"),
        (["completion", "tcsh"], "allowed are bash, zsh, fish"),
        (["runs", "list", "nowhere"], "no run below 'nowhere'"),
        (["runs", "prune", "nowhere"], "no run with a checkpoint at 'nowhere'"),
    ],
)
def test_wrong_words_are_one_line(arguments, message, capfd):
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(arguments))
    assert ended.value.code == 2
    err = capfd.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("case", WRONG)
def test_the_doctor_names_what_is_wrong(case):
    found, message = WRONG[case]
    (line,) = doctor.complaints(FACTS | found)
    assert re.search(message, line)


def test_the_doctor_finds_this_machine_well():
    assert doctor.complaints(FACTS) == []
    assert doctor.complaints(FACTS | {"nvidia": "570.1", "backend": "gpu"}) == []


def test_words_to_complete_with():
    assert completion.words([]) == list(COMMANDS)
    assert "ddpm" in completion.words(["train", "--config"])
    assert {"--config.train.steps", "--init", "--workdir"} <= set(completion.words(["train"]))
    assert {"--guidance", "--task", "--json"} <= set(completion.words(["sample", "--num", "3"]))


def test_runs_are_listed(a_run, capfd):
    assert main(["runs", "list", str(a_run.parent), "--json"]) == 0
    (row,) = json.loads(capfd.readouterr().out)
    told = {key: row[key] for key in ("name", "step", "steps", "data", "loss", "state")}
    assert told == {"name": str(a_run), "step": 3, "steps": 3, "data": "digits", "loss": 0.5, "state": "done"}
    (a_run / "config.json").write_text("{}")
    assert runs.summary(a_run)["state"] == "its record cannot be read"


def test_runs_are_compared(a_run, capfd):
    other = a_run.parent / "two"
    write_record(other, Record(changed("train.steps", 4) | {"seed": 7}, SPEC))
    assert main(["runs", "compare", str(a_run), str(other)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines == ["loss: 0.5 | -", "seed: 0 | 7", "step: 3 | 0", "train.steps: 3 | 4"]


def test_pruning_asks_first_and_keeps_the_newest(a_run, capfd, monkeypatch):
    monkeypatch.setattr(runs, "newest_intact", lambda folder: 2)
    there = lambda: sorted(path.name for path in (a_run / "checkpoints").iterdir())
    main(["runs", "prune", str(a_run)])
    assert "would remove" in capfd.readouterr().out
    assert there() == ["1", "2", "3"]
    assert main(["runs", "prune", str(a_run), "--yes"]) == 0
    assert there() == ["2", "3"]  # 3 is damaged, so that the run would go on from 2


@pytest.mark.slow
def test_quiet_says_nothing(a_run):
    command = [sys.executable, "-m", "jaxdiff", "runs", "list", str(a_run.parent), "--quiet"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""
