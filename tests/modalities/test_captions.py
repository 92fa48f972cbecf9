import json

import numpy as np
import pytest
from PIL import Image

from jaxdiff.errors import InputError
from jaxdiff.modalities.images import arrays, folder

NAMES = {"a.png": "a red square", "sub/b.png": "a blue one, with a comma", "c.png": "a green one\nof two lines"}
LAYOUTS = {
    "txt": lambda root: [(root / name).with_suffix(".txt").write_text(f"{text}\n") for name, text in NAMES.items()],
    "metadata.jsonl": lambda root: (root / "metadata.jsonl").write_text(
        "\n".join(json.dumps({"file_name": name, "text": text}) for name, text in NAMES.items())
    ),
    "captions.json": lambda root: (root / "captions.json").write_text(json.dumps(NAMES)),
    "captions.csv": lambda root: (root / "captions.csv").write_text(
        "file_name,text\n" + "\n".join(f'{name},"{text}"' for name, text in NAMES.items())
    ),
}


@pytest.fixture
def root(tmp_path):
    """Three pictures, of which each is of one grey."""
    (tmp_path / "sub").mkdir()
    for i, name in enumerate(NAMES):
        Image.new("L", (4, 4), 50 * i).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_each_picture_its_caption(root, layout, caplog):
    LAYOUTS[layout](root)
    source = folder(str(root), size=4, channels=1, captions="auto")
    greys = np.round((source.take(np.arange(3)).x_0[:, 0, 0, 0] + 1) * 127.5).astype(int) // 50
    assert [source.captions[list(greys).index(i)] for i in range(3)] == list(NAMES.values())
    assert not [r for r in caplog.records if "left out" in r.message]


def test_a_list_of_another_name_and_other_columns(root):
    rows = [{"image": name, "caption": text} for name, text in NAMES.items()]
    (root / "mine.json").write_text(json.dumps(rows))
    assert set(folder(str(root), size=4, captions="mine.json").captions) == set(NAMES.values())
    assert folder(str(root), size=4).captions == ()


def of_list(content, name="captions.json"):
    return lambda root: (root / name).write_text(content)


@pytest.mark.parametrize(
    ("write", "captions", "message"),
    [
        (lambda root: None, "auto", r"3 picture\(s\) lack a .txt beside it: .*a.png"),
        (lambda root: (root / "a.txt").write_text("x"), "auto", r"2 picture\(s\) lack a .txt beside it: .*c.png"),
        (of_list(json.dumps({"a.png": "x", "c.png": "y"})), "auto", r"1 picture\(s\) lack a caption in .*: .*b.png"),
        (
            of_list(json.dumps({**NAMES, "d.png": "x"})),
            "auto",
            r"captions of 1 picture\(s\) that are not there: .*d.png",
        ),
        (of_list(""), "auto", "captions.json' holds no captions"),
        (of_list("", "metadata.jsonl"), "auto", "metadata.jsonl' holds no captions"),
        (of_list(json.dumps(dict.fromkeys(NAMES, ""))), "auto", "all captions are empty"),
        (of_list('{"a.png": ["two", "captions"]}'), "auto", r"'text' of .* is no text"),
        (of_list("[{"), "auto", "captions.json' cannot be read as captions"),
        (of_list('{"a.png": "one", "a.png": "two"}'), "auto", "'a.png' stands there twice"),
        (of_list('{"a.png": "one", "./a.png": "two"}'), "auto", "several captions of './a.png'"),
        (of_list("file_name,text\na.png,x\na.png,y\n", "captions.csv"), "auto", "several captions of 'a.png'"),
        (of_list("a,b\n1,2\n", "captions.csv"), "auto", r"no 'file_name' among \['a', 'b'\]"),
        (
            of_list("file_name,text\na.png,x\nc.png,a green one, with a comma\n", "captions.csv"),
            "auto",
            "row 2 has more cells than the header: put texts with commas in quotes",
        ),
        (lambda root: None, "nothing.json", "data.captions='nothing.json': no such file in"),
    ],
)
def test_captions_that_do_not_fit_the_pictures_are_refused(root, write, captions, message):
    write(root)
    with pytest.raises(InputError, match=message):
        folder(str(root), size=4, captions=captions)


def test_captions_of_arrays(tmp_path):
    images, texts = np.zeros((3, 4, 4, 3), np.uint8), np.array(["one", "two", "é 漢"])
    np.savez(tmp_path / "a.npz", x=images, captions=texts, few=texts[:2], numbers=np.arange(3))
    path = str(tmp_path / "a.npz")
    assert arrays(path, "x", caption_key="captions").captions == ("one", "two", "é 漢")
    for key, message in (
        ("few", "'few' in .* has 2 captions for 3 examples"),
        ("numbers", "'numbers' in .* must hold one text for each"),
        ("captoins", r"unknown array \(data.caption_key\) .* 'captoins'"),
    ):
        with pytest.raises(InputError, match=message):
            arrays(path, "x", caption_key=key)
