"""From what is heard to coefficients: expression frame by frame, head pose in segments, smoothed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.adapters.sadtalker.expression import ExpressionNet
from thg_zoo.adapters.sadtalker.pose import PoseVae, smooth_poses
from thg_zoo.run import Run


@dataclass(frozen=True)
class Cues:
    """What the networks are told of T frames beside the sound.

    expression `[T, 64]`: of the face that is to speak, or of a reference clip; blink `[T, 1]` in 0..1; pose `[1, 6]`
    of the face; latents `[segments, 64]`; style 0..45.
    """

    expression: Tensor
    blink: Tensor
    pose: Tensor
    latents: Tensor
    style: int


def predict(
    expression_net: ExpressionNet, pose_vae: PoseVae, windows: Iterable[NDArray[np.float32]], cues: Cues, run: Run
) -> Tensor:
    """Coefficients `[T, 70]` from windows of spectrogram `[k, 80, 16]` that arrive in pieces, T in all.

    Some 300 bytes per frame are kept of the sound.
    """
    n = len(cues.blink)
    expressions, heard, done = [], [], 0
    for piece in windows:
        mel = torch.from_numpy(piece).to(cues.blink.device).unsqueeze(1)
        rows = slice(done, done + len(mel))
        expressions.append(expression_net(mel, cues.expression[rows], cues.blink[rows]))
        heard.append(pose_vae.listen(mel))
        done += len(mel)
        run.advance("listen", done, n)
    moved = cues.pose + pose_vae.motion(torch.cat(heard), cues.pose, cues.latents, cues.style)
    smooth = torch.from_numpy(smooth_poses(moved.cpu().numpy())).to(moved.device)
    return torch.cat((torch.cat(expressions), smooth), dim=1)
