"""Train a diffusion model, or go on with one: `python train.py --config=configs/ddpm.py`. See `--help`."""

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # while Python reads the libraries, Ctrl-C ends it without a page

from jaxdiff.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
