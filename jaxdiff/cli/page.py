"""Page: what `jaxdiff demo` shows of a studio (`jaxdiff.cli.studio`), in Gradio, which it is given as `gr`."""

import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from jaxdiff.cli.studio import IN_TURN, STRIP, Drawn, How, Studio, alone, known_where, sheet
from jaxdiff.data.picture import MODES
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.show import describe
from jaxdiff.pipelines.chosen import only_steps

__all__ = ["make_page", "paint", "tile"]

PAINT = "#ff3d7f"
PAUSE = 0.05
"""Seconds between two states of a chain on the page."""


def make_page(gr: Any, studio: Studio) -> Any:
    """The page: the result on one side, on the other what is drawn and how; on a phone one below the other."""
    page = gr.Blocks(title=f"{studio.name} · jaxdiff", analytics_enabled=False, delete_cache=(600, 3600))
    with page:
        parts = SimpleNamespace(chain=gr.State(), given=gr.State(), act=gr.State("draw"), turn=gr.State(0))
        told = f"{describe(studio.model.spec)} · {studio.model.weights}"
        gr.Markdown(f"# {studio.name}\n{told}", elem_id="title")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                _result(gr, parts)
            with gr.Column(scale=4, min_width=300):
                _acts(gr, parts, studio)
                parts.go = gr.Button("Draw", variant="primary", elem_id="go")
                _controls(gr, parts, studio)
        _wire(gr, parts, studio, page)
    return page


def _result(gr: Any, parts: SimpleNamespace) -> None:
    """What was drawn, and the chain."""
    still = {"interactive": False, "show_label": False, "container": False, "format": "png"}
    parts.picture = gr.Image(elem_id="picture", buttons=["download", "fullscreen"], **still)
    parts.said = gr.Markdown("Compiling, and drawing the first images ...", elem_id="said")
    with gr.Group(visible=False) as parts.film:
        parts.at = gr.Slider(0, 1, 1, step=0.01, label="The chain as it falls: from noise to images", elem_id="at")
        parts.strip = gr.Image(elem_id="strip", buttons=[], **still)


def _acts(gr: Any, parts: SimpleNamespace, studio: Studio) -> None:
    """Draw, inpaint, or image to image."""
    side = alone(np.zeros(studio.model.shape)).shape
    parts.another, parts.upload = [], []

    def sources():
        with gr.Row():
            if studio.pictures:
                parts.another.append(gr.Button("Another example", size="sm", min_width=100))
            if studio.model.shape[2] in MODES:
                parts.upload.append(gr.UploadButton("Upload", size="sm", file_types=["image"], min_width=100))

    with gr.Tabs() as parts.tabs:
        with gr.Tab("Draw", id="draw") as draw:
            gr.Markdown("From noise. Click on an image to edit it.")
        with gr.Tab("Inpaint", id="inpaint") as inpaint:
            gr.Markdown("Paint over what is to be drawn anew.")
            parts.editor = gr.ImageEditor(
                elem_id="editor",
                show_label=False,
                buttons=[],
                sources=[],
                transforms=[],
                layers=False,
                format="png",
                brush=gr.Brush(default_size=max(24, max(side) // 12), colors=[PAINT], color_mode="fixed"),
                canvas_size=(side[1], side[0]),
                fixed_canvas=True,
            )
            sources()
            parts.repeats = gr.Slider(
                1, 20, 5, step=1, label="Repeats of each step", info="more agree better, and take longer"
            )
        with gr.Tab("Image to image", id="translate") as translate:
            gr.Markdown("Noise a picture, and draw from there.")
            parts.shown = gr.Image(
                elem_id="given", interactive=False, show_label=False, buttons=[], height=280, format="png"
            )
            sources()
            parts.strength = gr.Slider(
                0.05, 1, 0.5, step=0.05, label="Strength", info="how far back to the noise", elem_id="strength"
            )
    for tab in (draw, inpaint, translate):
        tab.select(functools.partial(str, tab.id), None, parts.act, show_progress="hidden")


def _controls(gr: Any, parts: SimpleNamespace, studio: Studio) -> None:
    """How to draw."""
    first = studio.first
    gr.Markdown("**At once** · nothing is compiled", elem_classes="head")
    with gr.Group():
        with gr.Row():
            parts.label = gr.Dropdown(
                studio.classes,
                value=IN_TURN if studio.classes else None,
                label="Class",
                visible=bool(studio.classes),
                elem_id="label",
                min_width=120,
            )
            parts.seed = gr.Slider(0, 999, 0, step=1, label="Seed", elem_id="seed", min_width=120, buttons=[])
        parts.guidance = gr.Slider(
            *studio.scales,
            first.guidance,
            step=0.1,
            label="Guidance towards the class",
            visible=studio.guided,
            elem_id="guidance",
            buttons=[],
        )
    gr.Markdown("**Compiled anew** · press Draw", elem_classes="head")
    with gr.Group(), gr.Row():
        parts.sampler = gr.Dropdown(
            studio.samplers, value=first.sampler, label="Sampler", elem_id="sampler", min_width=120
        )
        parts.steps = gr.Slider(
            1,
            max(100, studio.model.steps),
            first.steps,
            step=1,
            label="Steps",
            interactive=not only_steps(studio.model.config),
            elem_id="steps",
            min_width=120,
            buttons=[],
        )


def _wire(gr: Any, parts: SimpleNamespace, studio: Studio, page: Any) -> None:
    """Say what happens when."""
    results = [parts.picture, parts.at, parts.strip, parts.film, parts.said, parts.chain]
    edited = [parts.given, parts.editor, parts.shown]
    how = [parts.act, parts.given, parts.editor, parts.repeats, parts.strength]
    how += [parts.sampler, parts.steps, parts.seed, parts.label, parts.guidance]
    alone_at_it = {"concurrency_id": "model", "concurrency_limit": 1}
    unseen = {"show_progress": "hidden"}
    watched = refusing(gr, functools.partial(perform, gr, studio, True), len(results))
    at_once = refusing(gr, functools.partial(perform, gr, studio, False), len(results))

    def begin(chain):
        picture = studio.example(0)
        return edit(chain[-1][0] if picture is None else picture)

    def pick(chain, event):
        picture = chain[-1][tile(event.index, sheet(chain[-1]).shape, len(chain[-1]))]
        return gr.Tabs(selected="inpaint"), "inpaint", *edit(picture)

    def another(turn):
        picture = studio.example(turn + 1)
        assert picture is not None  # the button is there only where there are pictures
        return turn + 1, *edit(picture)

    def upload(path):
        yield edit(studio.read(path))

    pick.__annotations__["event"] = gr.SelectData
    page.load(watched, how, results, show_progress_on=parts.picture, **alone_at_it).success(
        begin, parts.chain, edited, **unseen
    )
    parts.go.click(watched, how, results, show_progress_on=parts.picture, **alone_at_it)
    moved = [part.release for part in (parts.seed, parts.guidance, parts.strength, parts.repeats)]
    for change in (*moved, parts.label.input):
        change(at_once, how, results, show_progress="minimal", trigger_mode="always_last", **alone_at_it)
    parts.at.input(moment, [parts.at, parts.chain], parts.picture, trigger_mode="always_last", **unseen)
    parts.picture.select(pick, parts.chain, [parts.tabs, parts.act, *edited], **unseen)
    for button in parts.another:
        button.click(another, parts.turn, [parts.turn, *edited], **unseen)
    for button in parts.upload:
        button.upload(refusing(gr, upload, len(edited)), button, edited, **unseen)


def refusing(gr: Any, act: Callable[..., Any], outputs: int) -> Callable[..., Any]:
    """A generator function of so many outputs, whose refusals the page shows, and stays as it was."""

    def acting(*given):
        try:
            yield from act(*given)
        except InputError as error:
            gr.Warning(str(error))
            yield tuple(gr.skip() for _ in range(outputs))

    return acting


def perform(
    gr: Any, studio: Studio, watched: bool, act: str, given: Any, editor: Any, repeats: int, strength: float, *how: Any
) -> Iterator[tuple]:
    """Draw, inpaint or translate, and yield what the page shows: the chain as it falls, if it is watched, and the end.

    Args:
      act: "draw", "inpaint" or "translate".
      given: the picture to edit, and `editor`, what is painted over it.
      how: the fields of `How`, as the page has them.
    """
    sampler, steps, seed, label, guidance = how
    chosen = How(sampler, int(steps), int(seed), IN_TURN if label is None else label, guidance)
    if act == "draw":
        drawn = studio.draw(chosen)
    elif act == "inpaint":
        drawn = studio.inpaint(chosen, given, known_where(paint(editor), studio.model.shape), int(repeats))
    else:
        drawn = studio.translate(chosen, given, float(strength))
    *before, last = drawn.frames
    for i, state in enumerate(before if watched else []):
        yield sheet(state), i / len(before), *4 * (gr.skip(),)
        time.sleep(PAUSE)
    film = gr.update(visible=bool(before))
    yield sheet(last), 1, strip(drawn.frames) if before else None, film, said(drawn, chosen), drawn.frames


def said(drawn: Drawn, how: How) -> str:
    """What was drawn, and whether anything was compiled for it."""
    count = f"{drawn.frames.shape[1]} images in {drawn.seconds:.2f} s, {how.sampler}, {how.steps} steps"
    if drawn.traces:
        return f"{count}: **compiled anew**. Another seed, class or guidance will not be."
    return f"{count}: **nothing compiled**."


def strip(frames: np.ndarray) -> np.ndarray:
    """The first image of a chain at some moments, side by side."""
    moments = np.round(np.linspace(0, len(frames) - 1, min(STRIP, len(frames)))).astype(int)
    return sheet(frames[moments, 0], columns=len(moments))


def moment(at: float, chain: np.ndarray) -> np.ndarray:
    """The chain at a moment from 0, noise, to 1, the images."""
    return sheet(chain[round(at * (len(chain) - 1))])


def edit(picture: np.ndarray) -> tuple:
    """A picture to edit, as it is, for the editor, and to be looked at; what was drawn may lie a little outside."""
    picture = np.clip(picture, -1, 1)
    big = alone(picture)
    return picture, {"background": big, "layers": [], "composite": big}, big


def paint(editor: Any) -> np.ndarray:
    """How much paint there is at each place of the editor, (height, width), 0 to 255."""
    if not editor or not editor["layers"]:
        return np.zeros((1, 1))
    return np.max([layer[..., 3] for layer in editor["layers"]], 0)


def tile(place: Sequence[float], shape: tuple[int, ...], n: int) -> int:
    """The number of the image at a place (x, y) of a sheet of n of them; the last one if there is none."""
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    column, row = int(place[0] * columns / shape[1]), int(place[1] * rows / shape[0])
    return min(max(0, row * columns + column), n - 1)
