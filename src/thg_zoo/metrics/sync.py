"""LSE-C, LSE-D and the audio-visual offset, from SyncNet's embeddings of faces and sound."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from thg_zoo.audio.mfcc import mfcc
from thg_zoo.metrics.meter import Batch, Meter, Skip
from thg_zoo.metrics.syncnet import FACE, FRAMES, MFCC_COLUMNS, SyncNet
from thg_zoo.timing import Resampler

FPS = Fraction(25)
SAMPLE_RATE = 16_000
_SAMPLES_PER_FRAME = 640
_COLUMNS_PER_FRAME = 4
LARGEST_SHIFT = 15
_MARGIN = 0.4
_MEDIAN = 13
_GREY = 110
_CHUNK = 16
# Below this share of frames with a face the crops mean nothing.
_ENOUGH_FACES = 0.8


class SyncScores(NamedTuple):
    """offset: by how many frames of 1/25 s the sound is early; confidence: LSE-C; distance: LSE-D; by_shift: the mean
    distance at every shift [31]."""

    offset: int
    confidence: float
    distance: float
    by_shift: NDArray[np.float32]


class SyncMeter(Meter):
    """lse_c, lse_d and av_offset. 8 kB are kept of every 1/25 s.

    The face is cut out as the published pipeline does it, around the boxes of the bundled detector instead of its own.
    Frames that show no face take the last box; the rate becomes 25 by repeating or leaving out frames.
    """

    names = ("lse_c", "lse_d", "av_offset")
    looks_at_faces = True

    def __init__(self, network: SyncNet, samples: NDArray[np.int16], fps: Fraction, device: torch.device) -> None:
        self._network, self._samples, self._device = network, samples, device
        self._times = Resampler(fps, FPS)
        self._crops = TrackCrops()
        self._held: list[NDArray[np.uint8]] = []
        self._embeddings: list[Tensor] = []
        self._box: NDArray[np.floating] | None = None
        self._frames, self._faces, self._late = 0, 0, 0

    def update(self, batch: Batch) -> None:
        for frame, face in zip(batch.frames, batch.faces, strict=True):
            self._frames += 1
            self._faces += face is not None
            self._box = self._box if face is None else face.box
            for _ in range(self._times.shown()):
                if self._box is not None:
                    self._take(self._crops.push(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), self._box))
                else:
                    self._late += 1

    def result(self) -> dict[str, float]:
        if self._faces < _ENOUGH_FACES * max(self._frames, 1):
            raise Skip(f"only {self._faces} of {self._frames} frames show a face")
        if self._crops.seen <= _MEDIAN // 2:
            raise Skip(f"it is too short: a track of faces has {_MEDIAN // 2 + 1} frames of 1/25 s or more")
        self._take(self._crops.finish())
        self._embed(len(self._held))
        video = torch.cat(self._embeddings) if self._embeddings else torch.empty(0)
        # The sound of leading frames without a face is left out with them.
        samples = self._samples[self._late * _SAMPLES_PER_FRAME :]
        scores = score(self._network, video, samples, self._device)
        return {"lse_c": scores.confidence, "lse_d": scores.distance, "av_offset": float(scores.offset)}

    def _take(self, crops: Iterator[NDArray[np.uint8]]) -> None:
        for crop in crops:
            self._held.append(crop)
            if len(self._held) == _CHUNK + FRAMES - 1:
                self._embed(len(self._held))

    def _embed(self, n: int) -> None:
        if n < FRAMES:
            return
        self._embeddings.append(embed_frames(self._network, np.stack(self._held), self._device))
        self._held = self._held[1 - FRAMES :]


class TrackCrops:
    """Face crops of one track, 224 x 224, as the published pipeline cuts them; frames go in, crops come out later.

    Centre and size of the boxes are median-filtered over 13 frames, beyond both ends of which zeros stand. The crop is
    2.8 times the face's half side, shifted downwards; beyond the picture it is grey. seen: frames so far; where there
    are fewer than seven, most of every window is zeros, and there is nothing to cut out.
    """

    def __init__(self) -> None:
        self.seen = 0
        self._frames: deque[NDArray[np.uint8]] = deque()
        self._places = deque([np.zeros(3)] * (_MEDIAN // 2), _MEDIAN)

    def push(self, frame: NDArray[np.uint8], box: NDArray[np.floating]) -> Iterator[NDArray[np.uint8]]:
        """The next frame [H, W, 3] and its box x1, y1, x2, y2; yields at most one crop, of a frame before."""
        x1, y1, x2, y2 = (float(v) for v in box)
        self._frames.append(frame)
        self.seen += 1
        yield from self._next(np.array([max(y2 - y1, x2 - x1) / 2, (y1 + y2) / 2, (x1 + x2) / 2]))

    def finish(self) -> Iterator[NDArray[np.uint8]]:
        """The crops of the last frames."""
        while self._frames:
            yield from self._next(np.zeros(3))

    def _next(self, place: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
        self._places.append(place)
        if len(self._places) == _MEDIAN:
            half, y, x = np.median(np.stack(self._places), axis=0)
            yield cut_face(self._frames.popleft(), half, y, x)


def cut_face(frame: NDArray[np.uint8], half: float, y: float, x: float) -> NDArray[np.uint8]:
    """The crop [224, 224, 3] of a face of half side `half` about (x, y), in pixels."""
    pad = int(half * (1 + 2 * _MARGIN))
    padded = cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(_GREY,) * 3)
    y, x, side = y + pad, x + pad, half * (1 + _MARGIN)
    crop = padded[int(y - half) : int(y + half * (1 + 2 * _MARGIN)), int(x - side) : int(x + side)]
    return np.asarray(cv2.resize(crop, (FACE, FACE)), np.uint8)


def embed_frames(network: SyncNet, crops: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Crops [T, 224, 224, 3] in BGR -> embeddings [T - 4, 1024] on the CPU."""
    with torch.inference_mode():
        frames = torch.from_numpy(crops).to(device).permute(3, 0, 1, 2).float()
        return network.embed_video(frames).float().cpu()


def embed_sound(network: SyncNet, columns: NDArray[np.float64], n: int, device: torch.device) -> Tensor:
    """MFCC [T, 13] -> embeddings [n, 1024] of the windows that begin with frames 0..n - 1, on the CPU."""
    views = np.lib.stride_tricks.sliding_window_view(columns, MFCC_COLUMNS, axis=0)[::_COLUMNS_PER_FRAME][:n]
    found = []
    with torch.inference_mode():
        for piece in torch.split(torch.from_numpy(views.astype(np.float32))[:, None], _CHUNK * 4):
            found.append(network.embed_audio(piece.to(device)).float().cpu())
    return torch.cat(found)


def score(network: SyncNet, video: Tensor, samples: NDArray[np.int16], device: torch.device) -> SyncScores:
    """The scores of embeddings [T - 4, 1024] of T frames and the sound that goes with them. Raises Skip."""
    n = min(len(video) + FRAMES - 1, len(samples) // _SAMPLES_PER_FRAME) - FRAMES
    if n < 1:
        raise Skip("it is too short: SyncNet needs 6 frames of 1/25 s with sound")
    return offset_scores(video[:n], embed_sound(network, mfcc(samples), n, device))


def distances(video: Tensor, audio: Tensor, largest_shift: int) -> Tensor:
    """Of every window of the video to the sound at every shift: [n, 2 * largest_shift + 1]."""
    padded = F.pad(audio, (0, 0, largest_shift, largest_shift))
    n = len(video)
    shifts = range(2 * largest_shift + 1)
    return torch.stack([F.pairwise_distance(video, padded[j : j + n], eps=1e-6) for j in shifts], dim=1)


def offset_scores(video: Tensor, audio: Tensor, largest_shift: int = LARGEST_SHIFT) -> SyncScores:
    """Distances of embeddings [n, D] of windows at every shift of the sound, and what follows from their means.

    Beyond its ends the sound is zeros, as published, which matters for clips of about a second.
    """
    by_shift = distances(video, audio, largest_shift).mean(dim=0)
    best = int(by_shift.argmin())
    lowest = float(by_shift[best])
    return SyncScores(largest_shift - best, float(by_shift.median()) - lowest, lowest, by_shift.numpy())
