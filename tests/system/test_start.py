"""What a command imports before it begins."""

import subprocess
import sys

import pytest

SLOW = ("sklearn", "scipy.stats", "flax.nnx", "tensorflow", "matplotlib", "pandas", "torch")
"""Each takes half a second or more, and is imported where it is used."""


@pytest.mark.parametrize("command", ["train", "sample"])
def test_a_command_imports_nothing_slow(command, environment):
    script = f"import sys, jaxdiff.cli.{command}; print(*(name for name in {SLOW} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
