"""Runs train.py and sample.py in forks of one process that has imported what they import: a second each, not four.

Reads a line of JSON for each: (script, arguments, further environment), and answers with (exit code, stdout, stderr).
"""

import json
import os
import runpy
import sys
import tempfile
import traceback

import jaxdiff.config.build
import jaxdiff.config.record
import jaxdiff.modalities.images.pictures
import jaxdiff.training.checkpoints.checkpoint
import jaxdiff.training.log  # noqa: F401


def run(script, arguments, environment):
    """In the fork: the script, as Python itself would run it."""
    os.environ.update(environment)
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main():
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = os.fork()
            if child == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                code = run(*asked)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            out.seek(0)
            err.seek(0)
            print(json.dumps([code, out.read(), err.read()]), flush=True)


if __name__ == "__main__":
    main()
