"""Captions as a latent model is told them."""

import shutil

import numpy as np
import pytest

from jaxdiff.pipelines.words import read_words
from tests.helpers.cases import refused
from tests.interop.test_clip import clip_files  # noqa: F401

CAPTIONS = ["a photo of the cat's whiskers", "", "it isn't 1234 years old, they've said " * 3]


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"])
def test_the_words_of_a_folder(clip_files, tmp_path, pad, caplog):  # noqa: F811
    """Those of transformers' tokenizer and encoder, with every tensor perturbed; each tokenizer has its own padding."""
    import torch
    import transformers

    torch.manual_seed(0)
    shutil.copytree(clip_files, tmp_path / "tokenizer")
    theirs = transformers.CLIPTokenizer.from_pretrained(str(clip_files), pad_token=pad, model_max_length=16)
    (tmp_path / "tokenizer" / "tokenizer_config.json").write_text(f'{{"pad_token": "{pad}"}}')
    config = transformers.CLIPTextConfig(
        vocab_size=len(theirs),
        hidden_size=16,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=theirs.bos_token_id,
        eos_token_id=theirs.eos_token_id,
    )
    encoder = transformers.CLIPTextModel(config).eval()
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(0.1 * torch.randn_like(p))
        ids = theirs(CAPTIONS, padding="max_length", max_length=16, truncation=True, return_tensors="pt").input_ids
        expected = encoder(ids).last_hidden_state.numpy()
    encoder.save_pretrained(tmp_path / "text_encoder")
    context = read_words(tmp_path)(CAPTIONS)["context"]
    np.testing.assert_allclose(context, expected, atol=1e-5 * expected.std())
    assert "1 of the captions have more than 14 pieces" in caplog.text


def test_two_encoders_are_refused(tmp_path):
    (tmp_path / "text_encoder_2").mkdir()
    with refused("two text encoders"):
        read_words(tmp_path)
