"""From sound to sketches: what the face of every frame is to look like, in windows of five frames."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.adapters.iplap.landmark_generator import LandmarkGenerator
from thg_zoo.adapters.iplap.points import POSE
from thg_zoo.adapters.iplap.sketch import draw_sketch
from thg_zoo.adapters.iplap.source import FPS, Identity, box_size
from thg_zoo.audio.mel import WAV2LIP_SILENCE, sadtalker_mel_blocks
from thg_zoo.audio.windows import MEL_BANDS, mel_windows
from thg_zoo.motion import Parameters
from thg_zoo.runtime import Runtime

Blocks: TypeAlias = Iterable[NDArray[np.float32]]

# A window of frames reaches so far to either side; so many frames after it begins a sound is centred.
_REACH = 2
_CENTRE = 2
_SILENCE_COLUMNS = 256


def sounds(blocks: Blocks, n: int) -> Iterator[NDArray[np.float32]]:
    """The first n windows of the sound `[k, 80, 16]`, piece by piece; after its end comes silence.

    Window i begins with frame i, so that its centre is frame i + 2.
    """
    silence = np.full((MEL_BANDS, _SILENCE_COLUMNS), WAV2LIP_SILENCE, dtype=np.float32)
    spectrogram = itertools.chain(sadtalker_mel_blocks(blocks), itertools.repeat(silence))
    made = 0
    for piece in mel_windows(spectrogram, FPS, closing=False):
        yield piece[: n - made]
        made += len(piece)
        if made >= n:
            return


class Talker:
    """Makes the motion of one animation.

    Frame i of the result is the centre of the window of frames i - 2 .. i + 2, each of which hears the sound centred on
    it; before the first sound they hear that one, before the first frame they show that one.
    """

    def __init__(self, identity: Identity, generator: LandmarkGenerator, runtime: Runtime, extend: str) -> None:
        self._identity = identity
        self._generator = generator
        self._runtime = runtime
        self._extend = extend

    def pieces(self, blocks: Callable[[], Blocks], n: int) -> Iterator[Parameters]:
        """mel `[k, 1, 80, 16]` and sketches `[k, 5, 128, 128]` (levels 0..224) of n frames."""
        mel, tokens = torch.empty(0, 1, MEL_BANDS, 16), None
        made = 0
        for piece in sounds(blocks(), n):
            first = made - len(mel)
            mel = torch.cat((mel, torch.from_numpy(piece)[:, None]))
            with self._runtime.autocast():
                heard = self._generator.encode_sounds(mel[made - first :].to(self._runtime.device))
                tokens = heard if tokens is None else torch.cat((tokens, heard))
                # [k, 5]: the sounds of each window, counted from the first that is held.
                rows = torch.arange(made, made + len(piece))[:, None] + torch.arange(-_REACH, _REACH + 1) - _CENTRE
                rows = rows.clamp(min=0) - first
                sketches = self._draw(tokens[rows.to(tokens.device)], made)
            yield {"mel": mel[rows[:, _REACH]], "sketches": sketches}
            made += len(piece)
            mel, tokens = mel[-2 * _REACH :], tokens[-2 * _REACH :]

    def _draw(self, heard: Tensor, start: int) -> Tensor:
        """Tokens of sounds `[k, 5, 512]` of the frames from `start` on to sketches `[k, 5, 128, 128]`."""
        track = self._identity.track
        frames = track.order(start - _REACH, start + len(heard) + _REACH, self._extend)
        pose = torch.from_numpy(track.landmarks[frames, :, :POSE])
        seen = self._generator.encode_poses(pose.to(heard.device))
        windows = torch.arange(len(heard))[:, None] + torch.arange(2 * _REACH + 1)
        content = self._generator.predict(self._identity.tokens, heard, seen[windows.to(seen.device)])
        landmarks = torch.cat((pose[windows], content.float().cpu()), dim=3).numpy()
        sizes = [box_size(track.boxes[k]) for k in frames]
        drawn = [
            [draw_sketch(points, sizes[i]) for points, i in zip(window, places, strict=True)]
            for window, places in zip(landmarks, windows.tolist(), strict=True)
        ]
        return torch.from_numpy(np.array(drawn))
