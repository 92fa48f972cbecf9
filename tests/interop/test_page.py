"""The blocks of docs/stable_diffusion.md run, on a tiny folder."""

import numpy as np
import pytest

from tests.helpers import latent_folder as tiny
from tests.test_docs import ROOT, blocks

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]

PAGE = ROOT / "docs" / "stable_diffusion.md"


def test_every_block_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path / "stable-diffusion-v1-5")
    tiny.write(tmp_path / "instruct-pix2pix", beside=(("image", 4),))
    tiny.write_tiny_control(tmp_path / "sd-controlnet-canny")
    tiny.write_tiny_adapter(tmp_path / "t2iadapter_color_sd14v1")
    np.savez("words.npz", caption=tiny.words(2), empty=tiny.words(2, 1))
    names = {"__name__": "__main__"}
    for block in blocks(PAGE):
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["large"].shape == (2, 64, 64, 3)
    assert names["filled"].shape == names["changed"].shape == (2, 16, 16, 3)
    assert "plms" in capsys.readouterr().out
