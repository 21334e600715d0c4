"""From what is heard to head poses of the whole sound, and to key points window by window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.adapters.audio2head.point_network import WINDOW, PointNet
from thg_zoo.adapters.audio2head.pose import draw_poses, to_units
from thg_zoo.adapters.audio2head.pose_network import PoseNet
from thg_zoo.motion import Parameters
from thg_zoo.run import Run

# Windows overlap by half; of all but the first the middle is taken, of the last one what is left.
_STEP = WINDOW // 2
_LEFT_OUT = WINDOW // 4
# Frames heard at once by the pose network.
_PIECE = 256


@dataclass(frozen=True)
class Cues:
    """What the key points of n frames depend on: features `[n, 4, 41]` of the sound, and poses in units.

    poses `[m, 6]`: row k is that of frame k, the last row stands for all that follow.
    """

    heard: NDArray[np.float32]
    poses: NDArray[np.float64]

    def window(self, start: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features `[64, 4, 41]`, zeros beyond the end, and drawn poses `[64, 256, 256]`."""
        heard = np.zeros((WINDOW, *self.heard.shape[1:]), np.float32)
        here = self.heard[start : start + WINDOW]
        heard[: len(here)] = here
        rows = np.arange(start, start + WINDOW)
        # The row behind the last frame is what the frames beyond the end see.
        rows = np.where(rows < len(self.heard), rows, len(self.heard))
        return heard, draw_poses(self.poses[np.minimum(rows, len(self.poses) - 1)])


def predict_poses(network: PoseNet, picture: Tensor, heard: NDArray[np.float32], run: Run) -> NDArray[np.float64]:
    """Poses `[n + 1, 6]` in units: that of the picture, then those after each of n frames of sound."""
    pieces = (torch.from_numpy(heard[at : at + _PIECE]).to(picture.device) for at in range(0, len(heard), _PIECE))
    poses: list[Tensor] = []
    done = -1
    for some in network(picture, pieces):
        poses.append(some)
        done += len(some)
        run.advance("listen", done, len(heard))
    return to_units(torch.cat(poses)).cpu().double().numpy()


def scaled(poses: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Poses `[T, 6]` as far from the first one as `scale` says."""
    first = poses[:1]
    return first + scale * (poses - first)


def predict_points(network: PointNet, picture: Tensor, cues: Cues) -> Iterator[Parameters]:
    """value `[k, 10, 2]` and jacobian `[k, 10, 2, 2]` of all frames in turn, a window at a time."""
    n = len(cues.heard)
    done = 0
    for start in range(0, n, _STEP):
        used = range(done - start, min(WINDOW - _LEFT_OUT, n - start))
        if not used:
            return
        heard, poses = (torch.from_numpy(array).to(picture.device) for array in cues.window(start))
        points = network(picture, heard, poses, used)
        assert points.jacobian is not None
        yield {"value": points.value, "jacobian": points.jacobian}
        done += len(used)
