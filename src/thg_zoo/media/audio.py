"""Sound: files, sound tracks of videos and arrays in, mono float32 out, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from thg_zoo.errors import MediaError
from thg_zoo.media.ffmpeg import Process, input_arguments, read_exactly
from thg_zoo.media.header import Header
from thg_zoo.media.limits import Limits
from thg_zoo.media.probe import open_header

Samples = NDArray[np.float32]

_RATES = range(1_000, 768_001)
_MOST_CHANNELS = 32
_DECODED_SECONDS = 1.0  # how much is decoded at a time; blocks handed out are cut from it
_QUALITY = "HQ"  # what librosa.load uses, which the published models were trained with


@dataclass(frozen=True, eq=False)
class Audio:
    """Mono sound: `samples` float32 [n], nominally in -1..1, at `sample_rate` Hz.

    `path` is the file it was read from, whose sound goes into outputs unchanged; None if it came as an array.
    """

    samples: Samples
    sample_rate: int
    path: Path | None = None

    @property
    def duration(self) -> Fraction:
        """Length in seconds."""
        return Fraction(len(self.samples), self.sample_rate)


AudioSource = str | Path | Audio | tuple[NDArray[Any] | torch.Tensor, int]


def read_audio(source: AudioSource, sample_rate: int | None = None, limits: Limits | None = None) -> Audio:
    """The whole sound of `source` as mono float32.

    `source`: a file (wav, mp3, m4a, ogg, flac, ... or a video with sound), an `Audio`, or (array, rate in Hz) with the
    array [n], [channels, n] or [n, channels], float in -1..1 or integer. Channels are averaged. `sample_rate`: rate in
    Hz to resample to (soxr HQ, as librosa.load does); None keeps the source's own. Sample 0 is time 0 of the file:
    a sound track that starts later in its container begins with silence.

    Raises MediaError for what is no sound, has none, is damaged or holds NaN or infinity; MediaLimitError for what
    is longer than `limits` allow.
    """
    limits = limits or Limits.from_environment()
    if isinstance(source, Audio) and sample_rate in (None, source.sample_rate):
        return source
    rate, stream = _open(source, limits)
    target = _checked_rate(sample_rate) if sample_rate is not None else rate
    samples = np.concatenate(list(_resampled(stream, rate, target)))
    return Audio(samples, target, _path_of(source))


def audio_blocks(
    source: AudioSource, sample_rate: int, block_seconds: float = 10.0, limits: Limits | None = None
) -> Iterator[Samples]:
    """The sound of `source` at `sample_rate` in blocks of `block_seconds` (the last one is shorter).

    Joined, the blocks are exactly `read_audio(source, sample_rate).samples`; no more than one block and a second of
    decoded sound is in memory. Raises what `read_audio` does: at once if the source cannot be opened, while iterating
    for what shows only then.
    """
    if not block_seconds > 0:
        raise MediaError(f"Blocks of {block_seconds} s cannot be read.", "Use a length above 0.")
    limits = limits or Limits.from_environment()
    rate, stream = _open(source, limits)
    return _rechunked(_resampled(stream, rate, _checked_rate(sample_rate)), max(1, round(block_seconds * sample_rate)))


def alignment_filter(header: Header, duration: Fraction | None = None) -> str:
    """The ffmpeg filter that places a sound track in its file's time, and ends it at `duration` seconds if given.

    A late start becomes silence and so does a gap; what lies before time 0 (encoder priming) is dropped. Samples are
    not stretched.
    """
    # -copyts keeps the container's clock: ffmpeg alone would move each track of a transport stream to 0.
    chain = f"asetpts=PTS-({float(header.origin):.6f})/TB,aresample=async=1:first_pts=0"
    return chain if duration is None else f"{chain},atrim=end={float(duration):.6f}"


def _path_of(source: AudioSource) -> Path | None:
    if isinstance(source, Audio):
        return source.path
    return Path(source) if isinstance(source, (str, Path)) else None


def _open(source: AudioSource, limits: Limits) -> tuple[int, Iterator[Samples]]:
    """(rate in Hz, mono blocks at that rate); everything that can be checked without decoding is checked."""
    if isinstance(source, (str, Path)):
        header = open_header(Path(source), limits)
        if header.audio is None:
            raise MediaError(f"{source} has no sound.", "Pass a sound file, or a video with a sound track.")
        return header.audio.rate, _decode(header, limits)
    if isinstance(source, Audio):
        samples, rate = source.samples, source.sample_rate
    elif isinstance(source, tuple) and len(source) == 2:
        samples, rate = _mono_array(source[0]), _checked_rate(source[1])
    else:
        raise MediaError(
            f"A sound was expected, not {type(source).__name__}.", "Pass a path, or a tuple (array, sample rate)."
        )
    _check_samples(samples, "The sound array")
    limits.check_duration("The sound array", len(samples) / rate)
    step = max(1, round(_DECODED_SECONDS * rate))
    return rate, (samples[at : at + step] for at in range(0, len(samples), step))


def _checked_rate(rate: Any) -> int:
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or int(rate) not in _RATES:
        raise MediaError(
            f"{rate!r:.40} is no sample rate that can be used.",
            f"Pass (array, sample rate) in this order, the rate a whole number of {_RATES[0]} to {_RATES[-1]} Hz.",
        )
    return int(rate)


def _mono_array(array: Any) -> Samples:
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu().float().numpy() if array.is_floating_point() else array.detach().cpu().numpy()
    if not isinstance(array, np.ndarray) or array.ndim not in (1, 2):
        shape = list(array.shape) if isinstance(array, np.ndarray) else type(array).__name__
        raise MediaError(
            f"A sound array has to be [n] or [channels, n], not {shape}.",
            "Pass (array, sample rate) in this order, one sound and not a batch.",
        )
    if array.ndim == 2 and array.size:
        channels_axis = 0 if array.shape[0] <= array.shape[1] else 1
        if array.shape[channels_axis] > _MOST_CHANNELS:
            raise MediaError(
                f"A sound array of shape {list(array.shape)} has too many channels.", f"At most {_MOST_CHANNELS}."
            )
        return np.asarray(_as_float(array).mean(axis=channels_axis), dtype=np.float32)
    return _as_float(array.ravel())


def _as_float(array: NDArray[Any]) -> Samples:
    if np.issubdtype(array.dtype, np.floating):
        return np.asarray(array, np.float32)
    if array.dtype == np.uint8:
        return np.asarray((array.astype(np.float32) - 128) / 128, np.float32)
    if array.dtype in (np.int16, np.int32):
        return np.asarray(array / -float(np.iinfo(array.dtype).min), np.float32)
    raise MediaError(
        f"A sound array has to be float, int16, int32 or uint8, not {array.dtype}.", "Convert it to float32 in -1..1."
    )


def _check_samples(samples: Samples, what: str, before: int = 0) -> None:
    if not len(samples) and not before:
        raise MediaError(f"{what} has a length of 0.", "Pass a sound with at least one sample.")
    # The sum of finite numbers is finite (in float64), and a sum is several times faster than testing each.
    if not math.isfinite(samples.sum(dtype=np.float64)):
        raise MediaError(f"{what} holds NaN or infinite samples.", "Replace them, for instance with numpy.nan_to_num.")


def _decode(header: Header, limits: Limits) -> Iterator[Samples]:
    """Mono blocks of the sound track at its own rate."""
    sound, path = header.audio, header.path
    assert sound is not None
    channels = sound.channels or 2
    form = ["-ar", f"{sound.rate}", "-ac", f"{channels}", "-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"]
    arguments = ["-copyts", *input_arguments(path), "-map", "0:a:0", "-af", alignment_filter(header), *form]
    process = Process(arguments, read=True)
    count = 0
    try:
        buffer = np.empty((max(1, round(_DECODED_SECONDS * sound.rate)), channels), np.dtype("<f4"))
        frame_bytes = buffer.itemsize * channels
        while got := read_exactly(process.stdout, buffer) // frame_bytes:
            mono = buffer[:got].mean(axis=1, dtype=np.float32)
            _check_samples(mono, str(path), count)
            count += got
            limits.check_duration(str(path), Fraction(count, sound.rate))
            yield mono
        status = process.wait()
        if status or process.cut_off:
            raise MediaError(
                f"{path} is damaged: its sound can be decoded up to {count / sound.rate:.1f} s "
                f"({process.complaint()}).",
                "Copy or download it again, or save the part that is whole as a new file.",
            )
        _check_samples(buffer[:0, 0], str(path), count)
    finally:
        process.kill()


def _resampled(blocks: Iterator[Samples], rate: int, target: int) -> Iterator[Samples]:
    """The same signal at `target` Hz, ceil(n * target / rate) samples long, as librosa makes it."""
    if rate == target:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, target, 1, dtype="float32", quality=_QUALITY)
    read = written = 0
    for block in blocks:
        read += len(block)
        # soxr rounds the length to the nearest sample; librosa rounds it up
        made = stream.resample_chunk(block)
        written += len(made)
        if len(made):
            yield made
    wanted = math.ceil(Fraction(read * target, rate))
    rest = stream.resample_chunk(np.empty(0, np.float32), last=True)
    rest = np.pad(rest, (0, max(0, wanted - written - len(rest))))[: max(0, wanted - written)]
    if len(rest) or not written:
        yield rest


def _rechunked(blocks: Iterator[Samples], size: int) -> Iterator[Samples]:
    """The same signal in blocks of exactly `size` samples, but for the last."""
    held: list[Samples] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count >= size:
            joined = np.concatenate(held)
            whole = count - count % size
            yield from np.split(joined[:whole], whole // size)
            held, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(held)
