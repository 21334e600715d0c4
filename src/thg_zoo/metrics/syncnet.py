"""SyncNet (Chung and Zisserman, Out of time: automated lip sync in the wild, 2016; github.com/joonson/syncnet_python).

Two branches map 0.2 s of a face and 0.2 s of sound to vectors of 1024 that lie close together when they belong
together. The state dict is the published one.
"""

from __future__ import annotations

from torch import Tensor, nn

EMBEDDING = 1024
FRAMES = 5
MFCC_COLUMNS = 20
FACE = 224


class SyncNet(nn.Module):
    """Both branches, in the parts of the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_conv2d(1, 64),
            nn.MaxPool2d(1, 1),
            *_conv2d(64, 192),
            nn.MaxPool2d(3, (1, 2)),
            *_conv2d(192, 384),
            *_conv2d(384, 256),
            *_conv2d(256, 256),
            nn.MaxPool2d(3, (2, 2)),
            *_conv2d(256, 512, kernel=(5, 4), padding=0),
        )
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = nn.Sequential(
            *_conv3d(3, 96, kernel=(5, 7, 7), stride=2),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(96, 256, kernel=(1, 5, 5), stride=2, padding=1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_conv3d(256, 256, padding=1),
            *_conv3d(256, 256, padding=1),
            *_conv3d(256, 256, padding=1),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv3d(256, 512, kernel=(1, 6, 6)),
        )

    def embed_audio(self, mfcc: Tensor) -> Tensor:
        """MFCC windows [B, 1, 13, 20] -> [B, 1024]."""
        embedding: Tensor = self.netfcaud(self.netcnnaud(mfcc).flatten(1))
        return embedding

    def embed_video(self, frames: Tensor) -> Tensor:
        """T consecutive face crops [3, T, 224, 224], BGR in 0..255 -> [T - 4, 1024], one for every five of them.

        Only the first layer spans time, without padding: one pass over all frames equals one pass per window.
        """
        features = self.netcnnlip(frames[None])[0, :, :, 0, 0].t()
        embedding: Tensor = self.netfclip(features)
        return embedding


def _conv2d(
    channels: int, out: int, kernel: int | tuple[int, int] = 3, padding: int = 1
) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(channels, out, kernel, padding=padding), nn.BatchNorm2d(out), nn.ReLU(inplace=True)


def _conv3d(
    channels: int, out: int, kernel: tuple[int, int, int] = (1, 3, 3), stride: int = 1, padding: int = 0
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A convolution whose stride and padding are spatial."""
    conv = nn.Conv3d(channels, out, kernel, (1, stride, stride), (0, padding, padding))
    return conv, nn.BatchNorm3d(out), nn.ReLU(inplace=True)


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, EMBEDDING))
