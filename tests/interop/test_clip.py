import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxdiff.data.tokenizer import decode, encode, load_tokenizer
from jaxdiff.errors import InputError
from jaxdiff.interop.clip import read_clip

OPTIONS = {
    "vocab_size": 99,
    "hidden_size": 16,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 9,
}
IDS = np.array([[97, 5, 6, 7, 98, 98, 98, 98, 98], [97, 98, 98, 98, 98, 98, 98, 98, 98], [97, *range(7), 98]])


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["CLIPTextModel", "CLIPTextModelWithProjection"])
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("old", [False, True])
def test_transformers_gives_the_same(kind, activation, old, tmp_path):
    """Every tensor perturbed; sequences and vectors to 1e-5 of their size, gradients to 1e-4."""
    import torch
    import transformers

    torch.manual_seed(0)
    ends = {"bos_token_id": 0, "eos_token_id": 2} if old else {"bos_token_id": 97, "eos_token_id": 98}
    config = transformers.CLIPTextConfig(**OPTIONS, **ends, pad_token_id=1, hidden_act=activation, projection_dim=16)
    theirs = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.1 * torch.randn_like(p))
    theirs.save_pretrained(tmp_path)
    body = getattr(theirs, "text_model", theirs)
    out = body(input_ids=torch.tensor(IDS))
    net, params = read_clip(tmp_path)
    run = jax.jit(lambda params: net.apply({"params": params}, jnp.asarray(IDS)))
    for ours, reference in zip(run(params), (out.last_hidden_state, out.pooler_output), strict=True):
        expected = reference.detach().numpy()
        np.testing.assert_allclose(ours, expected, atol=1e-5 * max(expected.std(), 1))

    probe = np.random.default_rng(0).normal(size=out.last_hidden_state.shape).astype("f")
    (out.last_hidden_state * torch.tensor(probe)).sum().backward()
    grads = jax.jit(jax.grad(lambda params: jnp.sum(run(params)[0] * probe)))(params)
    attention = body.encoder.layers[1].self_attn
    for ours, parameter in (
        (grads["tokens"]["embedding"], body.embeddings.token_embedding.weight),
        (grads["positions"], body.embeddings.position_embedding.weight),
        (grads["block1_attention"]["value"]["kernel"].T, attention.v_proj.weight),
        (grads["block0_norm1"]["scale"], body.encoder.layers[0].layer_norm1.weight),
    ):
        expected = parameter.grad.numpy()
        np.testing.assert_allclose(ours, expected, atol=1e-4 * expected.std())


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
def test_every_tensor_is_used(tmp_path):
    import transformers

    transformers.CLIPTextModel(transformers.CLIPTextConfig(**OPTIONS)).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    more = {**tensors, "embeddings.position_ids": np.arange(9)[None]}
    save_file(more, tmp_path / "model.safetensors")
    read_clip(tmp_path)
    save_file({**tensors, "more.weight": np.zeros(2, "f")}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="no place for, 'more.weight'"):
        read_clip(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 16}))
    with pytest.raises(InputError, match="lacks 'num_hidden_layers'"):
        read_clip(tmp_path)


def test_a_norm_of_another_epsilon_is_refused(tmp_path):
    save_file({"x": np.zeros(1, "f")}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(OPTIONS | {"layer_norm_eps": 1e-6}))
    with pytest.raises(InputError, match="layer_norm_eps=1e-06: only 1e-05 can be read"):
        read_clip(tmp_path)


CLIP_LIKE = ["a photo of the cat's whiskers", "it isn't 1234 years old, they've said", "naïve façade, über-straße!"]


@pytest.fixture(scope="module")
def clip_files(tmp_path_factory):
    """A vocabulary and merges of CLIP's kind, trained on a few texts."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    core = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=900, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(CLIP_LIKE * 3, trainer)
    content = json.loads(core.to_str())["model"]
    pairs = [m if isinstance(m, list) else m.split(" ") for m in content["merges"]]
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    merges = []
    for a, b in pairs:
        if a in tokens and b in tokens and a + b not in tokens:
            tokens.append(a + b)
            merges.append((a, b))
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder = tmp_path_factory.mktemp("clip")
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(m) for m in merges) + "\n")
    return folder


def test_clips_words_end_and_are_lower_case(clip_files):
    tokenizer = load_tokenizer(clip_files)
    ids, cut = encode(tokenizer, ["A  Photo\nof THE cat's", "", "<|endoftext|>"], 12)
    assert cut == 0
    assert decode(tokenizer, ids[0]) == "a photo of the cat 's "
    np.testing.assert_array_equal(ids[1, :3], [tokenizer.start, tokenizer.end, tokenizer.end])  # padded by the end
    np.testing.assert_array_equal(ids[2, :3], [tokenizer.start, tokenizer.end, tokenizer.end])


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
def test_no_string_differs_from_transformers(clip_files):
    """20,000 strings: captions, prose of this library, and random Unicode."""
    from transformers import CLIPTokenizer

    from jaxdiff.modalities.images.scenes import scenes

    theirs, ours = CLIPTokenizer.from_pretrained(str(clip_files)), load_tokenizer(clip_files)
    rng = np.random.default_rng(0)
    letters = [
        chr(c) for c in (*range(32, 1200), *range(0x3040, 0x30FF), *range(0x1F600, 0x1F64F), 9, 10, 0x200D, 0xFE0F)
    ]
    unicode = ["".join(rng.choice(letters, rng.integers(0, 30))) for _ in range(15_000)]
    strings = [*CLIP_LIKE, *scenes("train", 5000).captions, *unicode]
    expected = theirs(strings, add_special_tokens=False)["input_ids"]
    found = [one.ids for one in ours.core.encode_batch(strings, add_special_tokens=False)]
    assert sum(a != b for a, b in zip(expected, found, strict=True)) == 0


def test_the_vocabulary_of_clips_own_code(clip_files, tmp_path):
    """Its file of merges alone makes the ids of vocab.json, but for the order of the letters, which is CLIP's."""
    lines = (clip_files / "merges.txt").read_text().splitlines()[1:]
    file = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    file.write_bytes(gzip.compress("\n".join(["version", *lines, ""]).encode()))
    published, known = load_tokenizer(file), load_tokenizer(clip_files)
    assert published.core.token_to_id("!") == 0
    assert published.core.token_to_id("!</w>") == 256
    assert (published.start, published.end) == (published.vocabulary - 2, published.vocabulary - 1)
    tokens = lambda one, text: one.core.encode(text, add_special_tokens=False).tokens
    assert all(tokens(published, text) == tokens(known, text) for text in CLIP_LIKE)


def test_merges_that_do_not_fit_are_refused(clip_files, tmp_path):
    (tmp_path / "vocab.json").write_text((clip_files / "vocab.json").read_text())
    (tmp_path / "merges.txt").write_text("#version: 0.2\nq z</w>\n")
    with pytest.raises(InputError, match=r"the merge 'q z</w>' of merges.txt does not fit vocab.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(InputError, match="no tokenizer at"):
        load_tokenizer(tmp_path / "nothing" / "here")
