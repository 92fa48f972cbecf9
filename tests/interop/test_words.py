"""Captions as a latent model is told them."""

import shutil

import numpy as np
import pytest

from jaxdiff.pipelines.words import read_words
from tests.interop.test_clip import clip_files  # noqa: F401


def perturbed(kind, tokenizer, **sizes):
    """A tiny text encoder of transformers, with numbers of its own in every tensor."""
    import torch
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=40,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **sizes,
    )
    encoder = kind(config).eval()
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return encoder


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
    encoder = perturbed(transformers.CLIPTextModel, theirs, num_hidden_layers=2)
    with torch.no_grad():
        ids = theirs(CAPTIONS, padding="max_length", max_length=16, truncation=True, return_tensors="pt").input_ids
        expected = encoder(ids).last_hidden_state.numpy()
        pieces = [theirs(caption, add_special_tokens=False).input_ids for caption in CAPTIONS]
        parts = [[theirs.bos_token_id, *row[i : i + 14], theirs.eos_token_id] for row in pieces for i in (0, 14)]
        padded = torch.tensor([part + [theirs.pad_token_id] * (16 - len(part)) for part in parts])
        in_two = encoder(padded).last_hidden_state.numpy().reshape(len(CAPTIONS), 32, 16)
    encoder.save_pretrained(tmp_path / "text_encoder")
    context = read_words(tmp_path)(CAPTIONS)["context"]
    np.testing.assert_allclose(context, expected, atol=1e-5 * expected.std())
    assert "1 of the captions have more than 14 pieces" in caplog.text
    context = read_words(tmp_path, chunks=2)(CAPTIONS)["context"]
    np.testing.assert_allclose(context, in_two, atol=1e-5 * in_two.std())


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("skip", [0, 1])
def test_the_words_of_two_encoders(clip_files, tmp_path, skip):  # noqa: F811
    """XL's: states before the last block of both, without the norm, and the second one's projected vector."""
    import torch
    import transformers

    torch.manual_seed(0)
    states = []
    for end, pad in (("", "<|endoftext|>"), ("_2", "!")):
        shutil.copytree(clip_files, tmp_path / f"tokenizer{end}")
        theirs = transformers.CLIPTokenizer.from_pretrained(str(clip_files), pad_token=pad, model_max_length=16)
        (tmp_path / f"tokenizer{end}" / "tokenizer_config.json").write_text(f'{{"pad_token": "{pad}"}}')
        kind = transformers.CLIPTextModelWithProjection if end else transformers.CLIPTextModel
        activation = "gelu" if end else "quick_gelu"
        encoder = perturbed(kind, theirs, num_hidden_layers=3, projection_dim=12, hidden_act=activation)
        with torch.no_grad():
            ids = theirs(CAPTIONS, padding="max_length", max_length=16, truncation=True, return_tensors="pt").input_ids
            out = encoder(ids, output_hidden_states=True)
        states.append(out.hidden_states[-2 - skip].numpy())
        encoder.save_pretrained(tmp_path / f"text_encoder{end}")
    told = read_words(tmp_path, skip=skip)([*CAPTIONS, None])
    expected, pooled = np.concatenate(states, axis=-1), out.text_embeds.numpy()
    np.testing.assert_allclose(told["context"][:-1], expected, atol=1e-5 * expected.std())
    np.testing.assert_allclose(told["pooled"][:-1], pooled, atol=1e-5 * pooled.std())
    assert not told["context"][-1].any()
    assert not told["pooled"][-1].any()
