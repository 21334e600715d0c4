"""Mel spectrograms, one function per published definition: their constants differ, and networks notice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from thg_zoo.audio.framing import Ends, centred_frames

WAV2LIP_RATE = 16_000
WAV2LIP_COLUMNS_PER_SECOND = 80
WAV2LIP_SILENCE = -4.0


def wav2lip_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The spectrogram that Wav2Lip listens to (github.com/Rudrabha/Wav2Lip, with the librosa of its time).

    samples: float32 [n] in -1..1 at 16 kHz; result: float32 [80, 1 + n // 200] in -4..4, column i centred on
    sample 200 i. Digital silence gives -4. Signals of at most 400 samples are continued with silence.
    """
    return np.concatenate(list(wav2lip_mel_blocks([samples])), axis=1)


def wav2lip_mel_blocks(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """`wav2lip_mel` of a signal that arrives in blocks: its columns [80, k] in order, the very same values."""
    return _mel_blocks(blocks, "reflected")


def sadtalker_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The spectrogram that SadTalker listens to (github.com/OpenTalker/SadTalker): Wav2Lip's definition in a librosa
    (0.9 or later) that takes what lies beyond the ends for zeros. See `wav2lip_mel`; any length is accepted.
    """
    return np.concatenate(list(sadtalker_mel_blocks([samples])), axis=1)


def sadtalker_mel_blocks(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """`sadtalker_mel` of a signal that arrives in blocks: its columns [80, k] in order, the very same values."""
    return _mel_blocks(blocks, "zero")


def _mel_blocks(blocks: Iterable[NDArray[np.float32]], ends: Ends) -> Iterator[NDArray[np.float32]]:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 800)
    bank = slaney_filter_bank(WAV2LIP_RATE, n_fft=800, bands=80, low=55.0, high=7600.0)
    for frames in centred_frames(_pre_emphasised(blocks, 0.97), size=800, hop=200, ends=ends):
        magnitude = np.abs(np.fft.rfft(frames * window))
        # 20 dB reference, 100 dB range mapped to -4..4; the floor keeps the logarithm of silence finite.
        level = 1.6 * np.log10(np.maximum(1e-5, magnitude @ bank.T)) + 2.4
        yield np.clip(level, WAV2LIP_SILENCE, 4.0).T.astype(np.float32)


@cache
def slaney_filter_bank(sample_rate: int, n_fft: int, bands: int, low: float, high: float) -> NDArray[np.float64]:
    """Triangular filters of equal area, evenly spaced on Slaney's mel scale (Auditory Toolbox, 1998).

    low, high: the outer edges in Hz; result [bands, 1 + n_fft // 2], to be multiplied with a spectrum. The
    same as `librosa.filters.mel`, whose import takes longer than a minute's spectrogram.
    """
    edges = _mel_to_hertz(np.linspace(_hertz_to_mel(low), _hertz_to_mel(high), bands + 2))[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    frequencies = np.arange(1 + n_fft // 2) * sample_rate / n_fft
    triangles = np.minimum((frequencies - left) / (centre - left), (right - frequencies) / (right - centre))
    bank: NDArray[np.float64] = np.maximum(0.0, triangles) * 2 / (right - left)
    bank.flags.writeable = False
    return bank


# Slaney's scale: linear below 1 kHz, 15 mels there, and then a factor of 6.4 in frequency every 27 mels.
_HERTZ_PER_MEL = 200 / 3
_LOG_STEP = np.log(6.4) / 27


def _hertz_to_mel(frequency: float) -> float:
    if frequency < 1000:
        return frequency / _HERTZ_PER_MEL
    return float(15 + np.log(frequency / 1000) / _LOG_STEP)


def _mel_to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, mel * _HERTZ_PER_MEL, 1000 * np.exp((mel - 15) * _LOG_STEP))


def _pre_emphasised(blocks: Iterable[NDArray[np.float32]], factor: float) -> Iterator[NDArray[np.float64]]:
    """x[n] - factor x[n - 1], with nothing before the first sample."""
    previous = 0.0
    for block in blocks:
        if len(block):
            signal = np.concatenate(([previous], block))
            previous = float(signal[-1])
            yield signal[1:] - factor * signal[:-1]
