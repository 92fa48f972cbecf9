"""Examples:

  jaxdiff demo --workdir runs/ddpm                     the page opens at http://127.0.0.1:7860
  jaxdiff demo --workdir runs/ --num 4 --port 8080     the newest run, four images at once

A page to play with a trained model of images: sampler, steps, guidance, class, seed, the chain as it falls, a mask
painted for inpainting, image to image. It is there for this machine alone, unless --host says otherwise, and needs no
network. Another seed, class, guidance, strength, picture or mask compiles nothing; another sampler or number of steps
compiles anew. Needs Gradio: pip install 'jaxdiff[demo]'.
"""

import importlib
import os
import signal
import sys
import threading
from typing import Any

from jaxdiff.cli.page import make_page
from jaxdiff.cli.parser import Parser
from jaxdiff.cli.studio import open_studio
from jaxdiff.errors import InputError
from jaxdiff.training.sharding import use_compilation_cache

__all__ = ["Policy", "gradio", "main", "make_parser", "serve"]

SYSTEM = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
"""Fonts that are on every machine: none is fetched."""
CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
#title h1 { margin: 8px 0 0; }
#title p { opacity: 0.7; }
#picture img, #strip img, #given img { image-rendering: pixelated; }
#picture img { width: 100%; cursor: pointer; }
@media (hover: hover) { #picture:not(:hover, :focus-within) .icon-button-wrapper { opacity: 0; } }
@media (hover: none) { #picture { padding-top: 36px; } #picture .icon-button-wrapper { top: -34px; } }
footer { display: none !important; }
@media (max-width: 640px) { .gradio-container main { padding: 8px !important; } }
"""
ALONE = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"
"""What a browser may load for the page: nothing from elsewhere."""


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser("jaxdiff demo", description=__doc__)
    parser.add_argument(
        "--workdir",
        "--model",
        default="runs/",
        help="a run, the newest of a folder of runs, a model folder, or a released model (openmoji, scenes)",
    )
    parser.add_argument("--weights", default="", help="a run's average by name; params; or a number, as for sample")
    parser.add_argument("--num", type=int, default=16, help="how many images at once (16)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 lets others in (127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen at (7860)")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Show the page until Ctrl-C: 2 for bad input."""
    given = make_parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        if not 1 <= given.port <= 65535:
            raise InputError(f"--port {given.port}: must be from 1 to 65535")
        gr = gradio()
        use_compilation_cache()
        studio = open_studio(given.workdir, given.weights, given.num)
        if studio.missing:
            print(f"no pictures of the run's own data are offered to be edited: {studio.missing}")
        serve(gr, make_page(gr, studio), given.host, given.port)
        shown = f"[{given.host}]" if ":" in given.host else given.host
        print(f"look at http://{shown}:{given.port} (Ctrl-C ends it)")
        if given.host not in ("127.0.0.1", "localhost", "::1"):
            print(f"--host {given.host}: whoever can reach this machine can use the page")
        threading.Event().wait()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def gradio() -> Any:
    """The library, told to report nothing to anybody.

    Raises:
      InputError: it is not installed.
    """
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    try:
        return importlib.import_module("gradio")
    except ImportError as error:
        raise InputError(f"jaxdiff demo needs Gradio: pip install 'jaxdiff[demo]' ({error})") from error


class Policy:
    """ASGI middleware: browsers load nothing for the page but from where it is."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sending(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", ALONE.encode())]
            await send(message)

        await self.app(scope, receive, sending)


def serve(gr: Any, page: Any, host: str, port: int) -> None:
    """Begin to serve the page, in threads.

    Raises:
      InputError: the address or port cannot be taken.
    """
    theme = gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=SYSTEM[0], font_mono=SYSTEM[1])
    theme.set(
        block_title_background_fill="transparent",
        block_title_text_color="*body_text_color",
        block_title_text_weight="500",
        block_title_padding="0 0 8px",
    )
    middleware = importlib.import_module("starlette.middleware").Middleware(Policy)
    try:
        page.queue(default_concurrency_limit=1).launch(
            server_name=host,
            server_port=port,
            app_kwargs={"middleware": [middleware]},
            theme=theme,
            css=CSS,
            share=False,
            run_history=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            footer_links=[],
            prevent_thread_lock=True,
            quiet=True,
        )
    except (OSError, ValueError) as error:
        raise InputError(f"--host {host} --port {port}: cannot listen there ({error}): take others") from error


if __name__ == "__main__":
    sys.exit(main())
