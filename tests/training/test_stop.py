import os
import signal
import time

import pytest

from jaxdiff.errors import InputError
from jaxdiff.training.stop import exit_code, named, stopping


@pytest.mark.parametrize(("number", "name", "code"), [(signal.SIGTERM, "SIGTERM", 143), (signal.SIGINT, "SIGINT", 130)])
def test_a_signal_is_noted_and_the_second_one_acts(number, name, code):
    came = []
    before = signal.signal(number, lambda *_: came.append(1))
    try:
        with stopping() as asked:
            assert asked() == 0
            os.kill(os.getpid(), number)
            assert asked() == number
            assert not came
            assert (named(asked()), exit_code(asked())) == (name, code)
            os.kill(os.getpid(), number)
            assert came
        os.kill(os.getpid(), number)
        assert len(came) == 2
    finally:
        signal.signal(number, before)


def test_time_is_up():
    with stopping(max_hours=0.05 / 3600) as asked:
        assert asked() == 0
        time.sleep(0.06)
        assert (named(asked()), exit_code(asked())) == ("train.max_hours", 0)
    with pytest.raises(InputError, match="train.max_hours=-1"), stopping(-1):
        pass
