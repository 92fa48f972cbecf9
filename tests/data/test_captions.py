import numpy as np
import pytest

from jaxdiff.data.captions import captioned, ids_of, text_details, tokenized
from jaxdiff.data.source import Source, fingerprint
from jaxdiff.data.tokenizer import decode, details_of, encode, from_details, train_tokenizer
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch

CAPTIONS = ["a red seven", "a blue one at the top left", "a red seven above a green three", ""]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CAPTIONS, 300)


def a_source(captions=CAPTIONS):
    source = Source(4, image_spec((4, 4, 1)), lambda i: Batch(np.zeros((len(i), 4, 4, 1), np.float32)))
    return captioned(source, captions, "captions")


def test_words_that_are_often_seen_become_one_id(tokenizer):
    ids, _ = encode(tokenizer, ["a red seven", "sevenred"], 16)
    assert len(ids[0][ids[0] > 2]) == 3
    assert tokenizer.vocabulary <= 300
    assert encode(tokenizer, ["A Red SEVEN"], 16)[0].tolist() == [ids[0].tolist()]


def normal(text):
    import tokenizers.normalizers as n

    return n.Sequence([n.NFC(), n.Lowercase()]).normalize_str(text)


@pytest.mark.parametrize("seed", range(3))
def test_any_string_comes_back(tokenizer, seed):
    """Random Unicode, control characters, what stands for special ids, and white space of all kinds."""
    rng = np.random.default_rng(seed)
    texts = ["<|pad|> <|startoftext|>x<|endoftext|>", " a\t\n  b ", "🤷🏽‍♀️ Σας é", "\u0000\u200b"]
    for _ in range(300):
        points = rng.integers(1, 0x11000, rng.integers(0, 20))
        texts.append("".join(chr(c) for c in points if not 0xD800 <= c < 0xE000))
    ids, cut = encode(tokenizer, texts, 400)
    assert cut == 0
    again = from_details(details_of(tokenizer, 400))
    for text, row in zip(texts, ids, strict=True):
        assert decode(tokenizer, row) == normal(text)
        assert decode(again, row) == normal(text)


def test_a_long_caption_is_cut_before_its_end_and_that_is_said_once(tokenizer, caplog):
    details = details_of(tokenizer, 5)
    ids = ids_of(details, CAPTIONS, "captions")
    assert ids.shape == (4, 5)
    assert (ids[:, 0] == 1).all()
    assert ((ids == 2).sum(1) == 1).all()
    assert ids[1, -1] == 2
    assert [r.message for r in caplog.records] == ["captions: 2 of 4 are longer than the 5 ids that are read: cut"]


def test_the_length_is_that_of_the_longest_caption():
    details = text_details(CAPTIONS, vocabulary=400)
    assert details["length"] == 2 + 7  # words
    assert text_details(CAPTIONS, length=6)["length"] == 6


def test_captions_become_a_condition_whose_missing_value_is_the_empty_caption():
    source = tokenized(a_source(), text_details(CAPTIONS))
    batch = source.take(np.array([3, 0]))
    spec = source.conditions["text"]
    assert batch.condition["text"].dtype == np.int32
    np.testing.assert_array_equal(batch.condition["text"][0], spec.missing)
    assert batch.condition["text"].max() < spec.values
    assert source.spec.details["text"]["length"] == spec.shape[0]


def test_other_captions_are_other_data():
    assert fingerprint(a_source()) != fingerprint(a_source([*CAPTIONS[:3], "a red six"]))


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        (CAPTIONS[:3], "has 3 captions for 4 examples: give one for each"),
        (["", " ", "\n", ""], "all captions are empty"),
    ],
)
def test_captions_that_do_not_fit_are_refused(captions, message):
    with pytest.raises(InputError, match=message):
        a_source(captions)


def test_a_vocabulary_has_room_for_all_bytes():
    with pytest.raises(InputError, match="vocabulary=100: 256 bytes and 3 special ids need at least 259"):
        train_tokenizer(CAPTIONS, 100)


def test_data_without_captions_has_nothing_to_be_read():
    with pytest.raises(InputError, match="this data has no captions"):
        tokenized(a_source()._replace(captions=()), text_details(CAPTIONS))
