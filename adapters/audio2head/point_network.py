"""From sound, head poses and a picture to the key points of a window of frames."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.adapters.audio2head.volumes import VolumeHourglass
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.nn.antialias import AntiAliasDownsample
from thg_zoo.nn.keypoint_detector import points_of_maps
from thg_zoo.nn.wide_kernel import WideKernelConv3d

NUM_KP = 10
WINDOW = 64
# Half of the kernel that makes heat maps, and the side of the maps that it sees.
_REACH, _SIDE = 3, 64


class PointNet(nn.Module):
    """Key points of 64 frames at once. Source: Wang et al., IJCAI 2021, section 3.2."""

    def __init__(self) -> None:
        super().__init__()
        self.down_id = AntiAliasDownsample(3, 4)
        self.down_pose = AntiAliasDownsample(WINDOW, 4)
        self.embedding = nn.Sequential(
            nn.ConvTranspose2d(1, 8, (29, 14), padding=(0, 11)),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 2, 13, padding=6),
        )
        self.predictor = VolumeHourglass(6)
        features = self.predictor.out_channels
        self.kp: nn.Module = nn.Conv3d(features, NUM_KP, 7, padding=(_REACH, 0, 0))
        self.jacobian = nn.Conv2d(features, 4 * NUM_KP, 7)

    def use_fast_form(self) -> None:
        """The wide kernel with fewer multiplications; its border is computed and left out."""
        assert isinstance(self.kp, nn.Conv3d)
        self.kp.padding = (_REACH, _REACH, _REACH)
        self.kp = WideKernelConv3d(self.kp)

    def forward(self, picture: Tensor, heard: Tensor, poses: Tensor, used: range = range(WINDOW)) -> KeyPoints:
        """Key points `[k, 10, 2]` with jacobians of the k frames `used`.

        picture `[1, 3, 256, 256]` in 0..1; heard `[64, 4, 41]`: speech features; poses `[64, 256, 256]`: drawn.
        """
        sound = F.interpolate(self.embedding(heard.unsqueeze(1)), scale_factor=2.0, mode="nearest")
        shown = self.down_id(picture)
        volume = torch.cat(
            (
                sound.transpose(0, 1),
                shown[0].unsqueeze(1).expand(-1, WINDOW, -1, -1),
                self.down_pose(poses.unsqueeze(0)),
            )
        )
        # The heat maps of a frame see three frames to either side.
        seen = range(max(0, used.start - _REACH), min(WINDOW, used.stop + _REACH))
        features = self.predictor(volume.unsqueeze(0), seen)
        frames = slice(used.start - seen.start, used.stop - seen.start)
        logits = self._inner(self.kp(features))[0].transpose(0, 1)[frames]
        jacobians = self.jacobian(features[0].transpose(0, 1)[frames])
        return points_of_maps(logits, jacobians)

    @staticmethod
    def _inner(maps: Tensor) -> Tensor:
        """Without the border that the fast form pads: `[..., 64, 64]` to `[..., 58, 58]`."""
        return maps[..., _REACH:-_REACH, _REACH:-_REACH] if maps.shape[-1] == _SIDE else maps
