"""The wheel, built from the sdist, in a folder and an environment that know nothing of the clone."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """`jaxdiff` of a wheel, with the dependencies of this environment; called in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    packed = [
        sys.executable,
        "-c",
        "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])",
    ]
    subprocess.run([*packed, folder], check=True, capture_output=True, cwd=ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, sdist]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(folder / "env", with_pip=True)
    python = folder / "env/bin/python"
    place = next((folder / "env/lib").glob("python*")) / "site-packages"
    (wheel,) = folder.glob("*.whl")
    install = [python, "-m", "pip", "install", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, capture_output=True, env=ENVIRONMENT)
    # afterwards, since the wheel would be taken for installed there
    (place / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    ask = [python, "-c", "import jaxdiff; print(jaxdiff.__file__)"]
    where = subprocess.run(ask, capture_output=True, text=True, env=ENVIRONMENT, cwd=folder)
    assert str(place) in where.stdout
    work = folder / "work"
    work.mkdir()

    def run(*arguments):
        asked = [folder / "env/bin/jaxdiff", *arguments]
        done = subprocess.run(asked, cwd=work, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.folder = work
    return run


def test_it_trains_draws_and_helps(command):
    assert "jaxdiff train --config ddpm" in command("--help")
    assert "score_sde" in command("train", "--help")
    command(
        "train",
        "--config",
        "ddpm",
        "--config.train.steps=2",
        "--config.sample.grid.name=uniform",
        "--config.sample.steps=3",
    )
    command("sample", "--num", "2", "--steps", "3")
    assert (command.folder / "runs/ddpm/samples/grid.png").exists()
    command("runs", "export", "runs/ddpm", "mailed", "--no-picture")
    assert '"num": 2' in command("sample", "--workdir", "mailed", "--num", "2", "--steps", "3", "--json")
