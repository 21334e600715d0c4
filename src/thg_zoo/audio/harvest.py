"""Pitch of speech by Harvest: Morise, "Harvest: A High-Performance Fundamental Frequency Estimator from Speech
Signals", Interspeech 2017.

Candidates come from the zero crossings of 152 band-passed signals, are refined by instantaneous frequency, and are
joined to a contour (`thg_zoo.audio.contour`). All constants are those of the WORLD vocoder, whose figures this
reproduces up to rounding.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.signal import cheby1, lfilter

from thg_zoo.audio.contour import best_contour

Array = NDArray[np.float64]

SAMPLE_RATE = 16_000
LOWEST, HIGHEST = 71.0, 800.0  # Hz
_RATE = SAMPLE_RATE // 2  # of the signal that is looked at
_STEP = _RATE // 1000  # its samples from one candidate to the next: a millisecond
_BANDS_PER_OCTAVE = 40
# Neighbouring bands that have to agree on a candidate, and milliseconds around its own in which it is tried.
_FEWEST_BANDS, _SPREAD = 10, 3
_HARMONICS = 6
_LEAST_SCORE, _SAME_PITCH = 2.5, 0.05
# Samples by which the signal is prolonged at its ends, and reflected, before it is decimated.
_PROLONGED, _REFLECTED = 140, 9
# Candidates that are worked on at once.
_CHUNK = 2048


def harvest(signal: Array) -> Array:
    """Pitch in Hz of a signal [n] at 16 kHz every 10 ms, 0 where nothing is voiced: [1 + n // 160]."""
    count = 1 + len(signal) // SAMPLE_RATE * 1000 + len(signal) % SAMPLE_RATE * 1000 // SAMPLE_RATE
    decimated = _decimated(np.asarray(signal, np.float64))
    decimated -= decimated.mean()
    candidates, scores = _refined(decimated, _spread(_candidates(decimated, count)))
    _drop_lonely(candidates, scores)
    return best_contour(candidates, scores)[::10]


def _decimated(signal: Array) -> Array:
    """Every second sample of the signal after a filter of no delay: [ceil(n / 2)]."""
    longer = np.pad(signal, _PROLONGED, mode="edge")
    longer = np.pad(longer, _REFLECTED, mode="reflect", reflect_type="odd")
    b, a = cheby1(3, 0.05, 0.4)
    filtered = lfilter(b, a, lfilter(b, a, longer)[::-1])[::-1]
    # As MATLAB does it: the last sample is kept, so that with an even length the first is not.
    first = _REFLECTED + _PROLONGED + (len(signal) + 1) % 2
    return np.array(filtered[first::2][: -(-len(signal) // 2)])


# Candidates.


def _candidates(signal: Array, count: int) -> Array:
    """Pitches on which enough neighbouring bands agree at each of `count` milliseconds: [count, most], 0 for none."""
    raw = _band_pitches(signal, count)
    voiced = raw > 0
    voiced[:, [0, -1]] = False
    edges = np.diff(voiced.astype(np.int8), axis=1)
    frames, first = np.nonzero(edges == 1)
    _, last = np.nonzero(edges == -1)
    long = last - first >= _FEWEST_BANDS
    frames, first, last = frames[long], first[long] + 1, last[long] + 1
    # Several of one frame stand beside each other.
    place = np.arange(len(frames)) - np.searchsorted(frames, frames)
    found = np.zeros((count, 1 + max(place, default=0)))
    sums = np.cumsum(raw, axis=1)
    found[frames, place] = (sums[frames, last - 1] - sums[frames, first - 1]) / (last - first)
    return found


def _band_pitches(signal: Array, count: int) -> Array:
    """What each band says of each millisecond: [count, bands], 0 where it is not the pitch of the band."""
    low, high = 0.9 * LOWEST, 1.1 * HIGHEST
    bands = low * 2 ** (np.arange(1, 2 + int(np.log2(high / low) * _BANDS_PER_OCTAVE)) / _BANDS_PER_OCTAVE)
    times = np.arange(count) / 1000
    size = 2 ** (1 + int(np.log2(len(signal) + 5 + 2 * int(2 * _RATE / bands[0]))))
    spectrum = rfft(signal, size)
    pitches = np.zeros((count, len(bands)))
    for i, band in enumerate(bands):
        half = _half_length(band)
        product = spectrum * rfft(_band_pass(band, half), size)
        # A slip of the published program's at the highest frequencies; where it is quiet, zero crossings notice.
        product[-2:] = spectrum[-1] * product[-2]
        filtered = irfft(product, size)[half + 1 :][: len(signal)]
        slope = np.diff(filtered)
        events = [_intervals(s) for s in (filtered, -filtered, slope, -slope)]
        if all(len(places) > 2 for places, _ in events):
            mean = sum(_interpolated(times, *event) for event in events) / 4
            alike = (mean >= band * 0.9) & (mean <= band * 1.1) & (mean >= LOWEST) & (mean <= HIGHEST)
            pitches[:, i] = np.where(alike, mean, 0)
    return pitches


def _half_length(band: float) -> int:
    return int(_RATE / band * 2 + 0.5)


def _band_pass(band: float, half: int) -> Array:
    """A Nuttall window over four periods, moved to the band."""
    offset = np.arange(-half, half + 1)
    phase = (offset + half) / half * np.pi
    window = 0.355768 - 0.487396 * np.cos(phase) + 0.144232 * np.cos(2 * phase) - 0.012604 * np.cos(3 * phase)
    return np.asarray(window * np.cos(2 * np.pi * band * offset / _RATE))


def _intervals(signal: Array) -> tuple[Array, Array]:
    """Middles (seconds) of the intervals between falling zero crossings, and their frequencies (Hz)."""
    before = np.flatnonzero((signal[:-1] > 0) & (signal[1:] <= 0))
    # Counted from 1 as published.
    crossings = before + 1 + signal[before] / (signal[before] - signal[before + 1])
    return (crossings[:-1] + crossings[1:]) / 2 / _RATE, _RATE / np.diff(crossings)


def _interpolated(times: Array, places: Array, values: Array) -> Array:
    """Linear, and so beyond the ends."""
    right = np.clip(np.searchsorted(places, times, side="right"), 1, len(places) - 1)
    share = (times - places[right - 1]) / (places[right] - places[right - 1])
    return np.asarray(values[right - 1] + share * (values[right] - values[right - 1]))


def _spread(candidates: Array) -> Array:
    """Candidates are tried in the milliseconds around as well: [T, C] to [T, 7 C]."""
    spread = [candidates]
    for shift in range(1, _SPREAD + 1):
        nothing = np.zeros_like(candidates[:shift])
        spread += [np.concatenate((nothing, candidates))[: len(candidates)]]
        spread += [np.concatenate((candidates, nothing))[-len(candidates) :]]
    return np.concatenate(spread, axis=1)


# Refinement.


def _refined(signal: Array, candidates: Array) -> tuple[Array, Array]:
    """Candidates [T, C] corrected by the instantaneous frequencies of their harmonics, and how well these agree."""
    refined, scores = np.zeros_like(candidates), np.zeros_like(candidates)
    frames, places = np.nonzero(candidates)
    if not len(frames):
        return refined, scores
    pitches = candidates[frames, places]
    halves = (1.5 * _RATE / pitches + 1).astype(np.int64)
    order = np.argsort(halves, kind="stable")
    starts = np.flatnonzero(np.diff(halves[order], prepend=-1))
    for group in np.split(order, starts[1:]):
        for rows in np.array_split(group, -(-len(group) // _CHUNK)):
            pitch, score = _corrected(signal, frames[rows], pitches[rows], int(halves[rows[0]]))
            good = (pitch >= LOWEST) & (pitch <= HIGHEST) & (score >= _LEAST_SCORE)
            refined[frames[rows], places[rows]] = np.where(good, pitch, 0)
            scores[frames[rows], places[rows]] = np.where(good, score, 0)
    return refined, scores


def _corrected(signal: Array, frames: NDArray[np.int64], pitches: Array, half: int) -> tuple[Array, Array]:
    """Pitches [n] whose windows reach `half` samples to either side, and scores."""
    window, slope = _windows(half)
    size = 4 * 2 ** int(np.log2(len(window)))
    index = frames[:, None] * _STEP + np.arange(-half - 1, half)
    around = signal[np.clip(index, 0, len(signal) - 1)]
    main, change = rfft(around * window, size, axis=1), rfft(around * slope, size, axis=1)
    harmonics = np.arange(1, _HARMONICS + 1)
    bins = (pitches[:, None] * size / _RATE * harmonics + 0.5).astype(np.int64)
    audible = harmonics <= (_RATE / 2 / pitches)[:, None].astype(np.int64)
    bins = np.where(audible, bins, 0)
    main, change = (np.take_along_axis(spectrum, bins, axis=1) for spectrum in (main, change))
    power = np.abs(main) ** 2
    cross = main.real * change.imag - main.imag * change.real
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(power == 0, 0, bins * _RATE / size + cross / power * _RATE / 2 / np.pi)
    weight = np.where(audible, np.sqrt(power), 0)
    mean = (weight * found).sum(1) / ((weight * harmonics).sum(1) + 1e-12)
    strayed = np.where(audible, np.abs(found / harmonics / pitches[:, None] - 1), 0).sum(1) / audible.sum(1)
    return mean, 1 / (strayed + 1e-12)


@cache
def _windows(half: int) -> tuple[Array, Array]:
    """A Blackman window about three periods, a sample late as published, and its slope."""
    phase = 2 * np.pi * np.arange(-half - 1, half) / (2 * half + 1)
    window = 0.42 + 0.5 * np.cos(phase) + 0.08 * np.cos(2 * phase)
    return window, -np.convolve(window, (0.5, 0, -0.5), mode="same")


def _drop_lonely(candidates: Array, scores: Array) -> None:
    """Removes, in place, candidates like which there are none a millisecond before or after."""
    ordered = np.sort(candidates, axis=1)
    lonely = np.zeros(candidates.shape, bool)
    frames, places = np.nonzero(candidates[1:-1])
    frames += 1
    pitch = candidates[frames, places]
    alone = np.ones(len(frames), bool)
    for other in (frames - 1, frames + 1):
        for rows in np.array_split(np.arange(len(frames)), 1 + len(frames) // _CHUNK):
            distance = np.abs(ordered[other[rows]] - pitch[rows, None]).min(1) / pitch[rows]
            alone[rows] &= distance > _SAME_PITCH
    lonely[frames, places] = alone
    candidates[lonely] = scores[lonely] = 0
