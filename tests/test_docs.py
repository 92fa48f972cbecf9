"""The code blocks of the documents run as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def blocks(file):
    return re.findall(r"```python\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)


@pytest.mark.parametrize(("file", "number"), [("docs/samplers.md", 0), ("README.md", 1)])
def test_block(file, number):
    names = {}
    exec(compile(blocks(file)[number], f"{file}, block {number}", "exec"), names)
    x_0 = np.asarray(names["x_0"])
    assert x_0.shape[0] == 1000
    assert abs(np.abs(x_0[:, 0]).mean() - 1) < 0.05  # the two components are at -1 and 1


def test_a_sampler_and_a_process_take_under_twenty_lines():
    """Imports and empty lines apart."""
    lines = [line for line in blocks("docs/samplers.md")[0].splitlines() if line and "import" not in line]
    assert len(lines) < 20
