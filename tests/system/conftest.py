import pytest

from tests.helpers.processes import TINY


@pytest.fixture(scope="session")
def finished(call, tmp_path_factory):
    """The folder of a run that train.py has ended, which nobody changes."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    out, _ = call("train.py", *TINY, f"--workdir={folder}")
    assert "done: look at" in out
    return folder
