"""Spectrograms: how the power of a sound is spread over time and pitch.

S[m, f]   the power of frame m, weighted by Hann's window, at frequency f
log mel   log10(sum over f of H[b, f] S[m, f] + floor), H[b] triangles even on the scale 2595 log10(1 + f / 700)
"""

import numpy as np

__all__ = ["FLOOR", "log_mel", "mel_filters", "power"]

FLOOR = 1e-4
"""Of the power of a band of a wave of standard deviation 1: what is 40 dB below it is silence."""


def frame_of(rate: int) -> int:
    """Samples of a frame: the power of two nearest to 32 ms."""
    return max(8, 2 ** round(np.log2(0.032 * rate)))


def power(x: np.ndarray, frame: int, hop: int) -> np.ndarray:
    """The power of waves (n, samples): (n, frames, frame / 2 + 1); white noise of variance 1 has 1 on average.

    The last frame may reach into silence, so that all samples are seen.
    """
    count = max(1, -(-(x.shape[1] - frame) // hop) + 1)
    padded = np.pad(x, ((0, 0), (0, max(0, (count - 1) * hop + frame - x.shape[1]))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame, axis=1)[:, ::hop][:, :count]
    window = np.hanning(frame + 1)[:-1]
    return np.abs(np.fft.rfft(frames * (window / np.sqrt((window**2).sum())))) ** 2


def mel_filters(bands: int, frame: int, rate: int) -> np.ndarray:
    """Weights (bands, frame / 2 + 1), each row of sum 1: means over frequencies."""
    mel, hertz = lambda f: 2595 * np.log10(1 + f / 700), lambda m: 700 * (10 ** (m / 2595) - 1)
    edges = hertz(np.linspace(mel(0.0), mel(rate / 2), bands + 2))
    f = np.arange(frame // 2 + 1) * rate / frame
    low, top, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    weights = np.maximum(0, np.minimum((f - low) / (top - low), (high - f) / (high - top)))
    narrow = weights.sum(1) == 0  # a band between two frequencies takes the nearer one
    weights[narrow, np.abs(f - top[narrow]).argmin(1)] = 1
    return weights / weights.sum(1, keepdims=True)


def log_mel(x: np.ndarray, rate: int, bands: int = 40) -> np.ndarray:
    """The log-mel spectrogram of waves (n, samples) of standard deviation about 1: (n, frames, bands), float32.

    Frames of 32 ms, 16 ms apart.
    """
    frame = frame_of(rate)
    made = []
    for i in range(0, len(x), 256):
        spectrum = power(np.asarray(x[i : i + 256], np.float64), frame, frame // 2)
        made.append(np.log10(spectrum @ mel_filters(bands, frame, rate).T + FLOOR).astype(np.float32))
    return np.concatenate(made)
