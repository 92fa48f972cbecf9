"""Errors of JAX in one line that says what to do."""

import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from jaxdiff.errors import InputError

__all__ = ["LOST", "explained", "looked_for"]

LOST = re.compile("gloo|nccl|heartbeat|coordination|connection (reset|closed)|unavailable|broken pipe", re.IGNORECASE)


def looked_for(asked: bool) -> tuple[bool, bool]:
    """Tell whether JAX is to look for NaNs, and for infinities: by the configuration, or by the user's own setting."""
    users: Any = jax.config
    return asked or users.jax_debug_nans, asked or users.jax_debug_infs


@contextmanager
def explained(lower: str) -> Iterator[None]:
    """Turn JAX's errors for which the user can do something into an InputError: memory, lost processes,
    absent devices, and NaNs.

    Args:
      lower: what to lower where memory does not suffice.
    """
    try:
        yield
    except InputError:
        raise
    except FloatingPointError as error:
        raise _first_bad(error) from error
    except (jax.errors.JaxRuntimeError, MemoryError, ValueError) as error:  # Gloo's are ValueErrors at times
        text = " ".join(str(error).split())
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text:
            wanted = re.search(r"allocat\w*\D{0,20}([\d.]+\s?\w*)", text)
            raise InputError(f"out of memory{f' (for {wanted[1]})' if wanted else ''}: {lower}") from error
        if jax.process_count() > 1 and LOST.search(text):
            raise InputError(
                f"another process is gone ({text[:160]}): start all of them again, to go on from the newest checkpoint"
            ) from error
        raise
    except Exception as error:
        if isinstance(error, RuntimeError | AssertionError) and (reason := _no_devices()):
            raise InputError(reason) from error
        if type(error).__name__ != "InternalFloatingPointError":  # which JAX lets out of a compiled part's derivative
            raise
        raise _first_bad(error) from error


def _no_devices() -> str:
    """Why JAX finds no devices of the kind that it is told to take; "" if it finds some."""
    try:
        jax.devices()
    except Exception as error:
        asked, text = os.environ.get("JAX_PLATFORMS", ""), str(error).partition("(set JAX_PLATFORMS")[0].strip()
        return f"JAX_PLATFORMS={asked}: JAX finds no such device ({text or 'none there'}): unset it or install its JAX"
    return ""


def _first_bad(error: Exception) -> InputError:
    """The last line of a traceback outside of libraries, where JAX found the first value that is not finite."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename]
    at = f"{ours[-1].filename}:{ours[-1].lineno}, {ours[-1].line}" if ours else "an unknown place"
    return InputError(f"the first value that is not finite comes from {at} ({str(error).splitlines()[0]})")
