"""Text: vocabularies, sources, what is refused, and what is shown."""

import gzip

import numpy as np
import pytest
from PIL import Image

from jaxdiff.data.source import fingerprint
from jaxdiff.errors import InputError
from jaxdiff.modalities import check, make_codec
from jaxdiff.modalities.text import lines, manual, measured, show, text
from jaxdiff.modalities.text.vocabulary import decode, encode, learn_vocabulary
from jaxdiff.types import Batch

VERSE = "In the beginning God created the heaven and the earth.\nAnd the earth was without form, and void;\n" * 20


@pytest.fixture
def verse(tmp_path):
    path = tmp_path / "verse.txt"
    path.write_text(VERSE, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("kind", ["characters", "bytes", "pairs"])
@pytest.mark.parametrize(
    "content", [VERSE, "naïve – Ωmega\n" * 5, "aaaaaaa aaaa aa\n" * 9], ids=["verse", "accents", "runs"]
)
def test_what_is_encoded_comes_back(kind, content):
    vocabulary = learn_vocabulary(content, kind, size=60)
    ids = encode(vocabulary, content)
    assert decode(vocabulary, ids) == content
    assert ids.dtype == np.int32
    assert 0 <= ids.min() <= ids.max() < len(vocabulary.symbols)
    if kind == "pairs":
        assert len(ids) < len(content)
        assert not any("\n" in symbol and len(symbol) > 1 for symbol in vocabulary.symbols)


def test_the_first_pairs_are_the_commonest():
    vocabulary = learn_vocabulary("abababab cdcd abab\n", "pairs", size=8)
    assert vocabulary.symbols[6:] == ["ab", "abab"]
    assert [vocabulary.symbols[i] for i in encode(vocabulary, "cabababx"[:7])] == ["c", "abab", "ab"]


def test_windows_are_those_of_the_text(verse):
    source = text(verse, length=16, stride=5)
    assert source.size == (len(VERSE) - 16) // 5 + 1
    codec = make_codec(source.spec)
    assert codec.decode(source.take(np.array([0, 3])).x_0).tolist() == [VERSE[:16], VERSE[15:31]]
    np.testing.assert_array_equal(codec.encode([VERSE[:16]]), source.take(np.array([0])).x_0)
    check(source.spec)
    law = np.array(source.spec.details["law"])
    assert law[source.spec.details["vocabulary"].index("e")] == pytest.approx(VERSE.count("e") / len(VERSE))
    assert len(fingerprint(source)) == 64


def test_another_letter_anywhere_is_other_data(tmp_path):
    """Of 200 windows, or lines, the fingerprint reads 64: one letter in another of them tells, too."""
    lines_of = lambda word: "\n".join(["abcd efg"] * 150 + [word] + ["abcd efg"] * 49)
    for make, options in ((text, {"length": 9}), (lines, {})):
        told = set()
        for word in ("abcd efg", "abcd egf"):
            (tmp_path / "a.txt").write_text(lines_of(word) + "\n")
            told.add(fingerprint(make(str(tmp_path / "a.txt"), **options)))
        assert len(told) == 2


@pytest.mark.parametrize("symbols", ["characters", "bytes", "pairs"])
@pytest.mark.parametrize("make", [text, lines])
def test_pairs_and_frequencies_are_those_of_training_alone(tmp_path, make, symbols):
    """Another test of the same characters changes nothing of what training sees, and comes back."""
    known, length = [], 4 if make is text else 8
    for word in ("abcdefé", "ddddddd"):
        (tmp_path / "a.txt").write_text("".join(f"{word if i % 20 == 19 else 'éfabcde'}\n" for i in range(20)))
        train, test = (
            make(str(tmp_path / "a.txt"), length, symbols, size=12, split=part) for part in ("train", "test")
        )
        assert train.spec == test.spec
        back = "".join(make_codec(test.spec).decode(test.take(np.arange(1)).x_0))
        assert word.startswith(back.strip())
        known.append(train.spec)
    assert known[0] == known[1]
    assert make(str(tmp_path / "a.txt"), length, symbols, size=12).spec != known[1]


def test_the_last_twentieth_is_held_out_with_the_vocabulary_of_the_whole(verse):
    train, test = text(verse, 16, split="train"), text(verse, 16, split="test")
    assert train.spec == test.spec
    whole = make_codec(train.spec).decode(test.take(np.arange(1)).x_0)[0]
    assert whole == VERSE[int(len(VERSE) * 0.95) :][:16]


def test_a_gzip_and_other_line_ends_are_read(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one\r\ntwo\rthree\n"))
    assert "\r" not in text(str(tmp_path / "a.txt.gz"), 4).spec.details["vocabulary"]


def test_lines_end_and_a_text_after_the_end_counts_for_nothing(tmp_path):
    (tmp_path / "a.smi").write_text("CCO\nc1ccccc1\n\nC\n")
    source = lines(str(tmp_path / "a.smi"))
    assert source.spec.shape == (8,)
    assert source.spec.details["vocabulary"][-1] == ""
    assert "\n" not in source.spec.details["vocabulary"]
    codec = make_codec(source.spec)
    x = source.take(np.arange(3)).x_0
    assert codec.decode(x).tolist() == ["CCO", "c1ccccc1", "C"]
    np.testing.assert_array_equal(codec.encode(["CCO", "c1ccccc1", "C"]), x)
    pairs = lines(str(tmp_path / "a.smi"), symbols="pairs", size=12)
    assert make_codec(pairs.spec).decode(pairs.take(np.arange(3)).x_0).tolist() == ["CCO", "c1ccccc1", "C"]
    np.savez(tmp_path / "a.npz", train=np.array([b"CC", b"O"]), test=np.array([b"COC"]))
    assert lines(str(tmp_path / "a.npz"), split="test").size == 1
    np.savez(tmp_path / "b.npz", train=np.array(["CC", "", "O"]), test=np.array(["COC"]))
    assert lines(str(tmp_path / "b.npz"), split="train").size == 2
    for train in (np.array([1, 2]), np.array(["C\nC"])):
        np.savez(tmp_path / "b.npz", train=train, test=train)
        with pytest.raises(InputError, match="holds no arrays 'train' and 'test' of strings"):
            lines(str(tmp_path / "b.npz"))
    with pytest.raises(InputError, match="data.split='test': of 3 lines .* 3 are for training and 0 for tests"):
        lines(str(tmp_path / "a.smi"), split="test")


def test_no_line_of_the_tests_is_among_those_of_training(tmp_path):
    several = [f"line {i % 30}" for i in range(100)]
    several[0] = "line 19\0"  # is another line, which NumPy takes for the same
    (tmp_path / "a.txt").write_text("\n".join(several))
    parts = [lines(str(tmp_path / "a.txt"), split=split) for split in ("train", "test")]
    train, test = (make_codec(part.spec).decode(part.take(np.arange(part.size)).x_0).tolist() for part in parts)
    assert set(test) == {"line 19"}
    assert sorted(train + test) == sorted(one.rstrip("\0") for one in several)


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        (b"", {}, "is empty"),
        (b" \n", {}, "is empty"),
        (b"abc", {"length": 9}, "has 3 symbols, and data.length is 9"),
        (b"abc\nd\xe9f", {}, "line 2, byte 2 is no UTF-8 .0xe9."),
        (b"abc", {"split": "third"}, "unknown split of a text 'third'"),
        (b"abc", {"symbols": "words"}, "unknown kind of symbols"),
        (b"abcdef", {"symbols": "pairs", "size": 3}, "this text has 6 characters"),
    ],
)
def test_bad_text_is_one_line(tmp_path, content, given, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        text(str(tmp_path / "a.txt"), **{"length": 2, **given})
    assert "\n" not in str(caught.value)


def test_an_unknown_symbol_and_a_text_too_long_are_named(verse, tmp_path):
    codec = make_codec(text(verse, 4).spec)
    with pytest.raises(InputError, match="text 2, line 1, column 3: '\\$' is none of the"):
        codec.encode(["void", "th$n"])
    with pytest.raises(InputError, match="text 1: has 5 symbols, and this model takes 4"):
        codec.encode(["earth"])
    (tmp_path / "a.smi").write_text("CC\nCCCC\n")
    with pytest.raises(InputError, match="line 2: has 4 symbols, and this model takes 3"):
        lines(str(tmp_path / "a.smi"), length=3)
    with pytest.raises(InputError, match="cannot be read"):
        text(str(tmp_path / "none.txt"))


def test_details_that_are_no_vocabulary_are_refused(verse):
    spec = text(verse, 4).spec
    for broken in ({"kind": "runes"}, {"law": [1.0]}, {"vocabulary": [1]}, {"merges": [[0, 99]]}):
        with pytest.raises(InputError, match="details of text"):
            check(spec._replace(details={**spec.details, **broken}))


def test_masks_fill_in_what_is_shown(verse, tmp_path):
    source = text(verse, 24)
    x = source.take(np.arange(3)).x_0
    masks = len(source.spec.details["vocabulary"])
    frames = np.stack([np.where(np.arange(24) < 8 * i, x, masks) for i in range(4)])
    assert show.save_chain(tmp_path, source.spec, frames, "note") == ["chain.gif", "chain.txt"]
    states = (tmp_path / "chain.txt").read_text().split("---- state ")[1:]
    assert [state.count("_") for state in states] == [24, 16, 8, 0]
    with Image.open(tmp_path / "chain.gif") as gif:
        assert gif.n_frames == 4
    drawn = Batch(make_codec(source.spec).decode(x))
    assert show.preview(source.spec, drawn, None).dtype == np.uint8
    assert show.save_samples(tmp_path, source.spec, drawn, None, "note") == ["samples.txt", "samples.png"]
    assert VERSE[:24] in (tmp_path / "samples.txt").read_text()


def test_the_embedded_text_is_the_manual_of_python():
    source = manual(64)
    assert source.size > 3000
    assert source.spec.details["vocabulary"][0] == "\n"


def test_symbols_that_only_other_text_has_are_possible(verse):
    """What a pair was made of may stand alone there."""
    law = text(verse, length=8, symbols="pairs", size=60).spec.details["law"]
    assert 0 < min(law) < 1e-6


@pytest.mark.parametrize("symbols", ["characters", "bytes", "pairs"])
def test_texts_that_are_drawn_can_be_measured_whatever_their_symbols_are(tmp_path, symbols):
    """Drawn pairs are read as others, windows cut letters of several bytes, and drawn bytes need not be text."""
    path = tmp_path / "a.txt"
    path.write_text("naïve – Ωmega, the theme of the other thesis\n" * 300, encoding="utf-8")
    source = text(str(path), 16, symbols, 40)
    count, decode = len(source.spec.details["vocabulary"]), make_codec(source.spec).decode
    for x in (source.take(np.arange(20)).x_0, np.random.default_rng(0).integers(0, count, (20, 16))):
        found = measured.values(source.spec, decode(x))
        assert found.shape == (20, count)
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    if symbols == "characters":
        np.testing.assert_allclose(found, [np.bincount(row, minlength=count) / 16 for row in x], rtol=1e-6)
