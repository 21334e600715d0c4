"""How the head moves while it speaks: a recurrent network over what is heard, begun by what is seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from thg_zoo.nn.resnet import ResNet

POSE = 6
_EMBEDDING = 256


class Embedding(nn.Module):
    """`[B, channels, H, W]` to `[B, 256]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.resnet = ResNet(34, classes=_EMBEDDING, channels=channels)

    def forward(self, x: Tensor) -> Tensor:
        deepest = self.resnet.features(x)[-1]
        embedded: Tensor = self.resnet.fc(deepest.mean((2, 3)))
        return embedded


class PoseNet(nn.Module):
    """Poses from a picture and speech features; six numbers each, nominally in -1..1 (see `pose.to_units`).

    Every step sees the output of the one before. Source: Wang et al., IJCAI 2021, section 3.1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.em_audio = Embedding(1)
        self.em_img = Embedding(3)
        self.lstm = nn.LSTM(2 * _EMBEDDING, _EMBEDDING, num_layers=2, batch_first=True)
        self.output = nn.Linear(_EMBEDDING, POSE)

    def forward(self, picture: Tensor, heard: Iterable[Tensor]) -> Iterator[Tensor]:
        """The pose of the picture `[1, 3, 256, 256]` in 0..1, `[1, 6]`, then those after each frame of sound: `[k, 6]`
        for every piece `[k, 4, 41]`.
        """
        previous: Tensor = self.em_img(picture)
        yield self.output(previous)
        state: tuple[Tensor, Tensor] | None = None
        for piece in heard:
            steps = []
            for audio in self.em_audio(piece.unsqueeze(1)):
                step = torch.cat((audio[None], previous), dim=1)
                out, state = self.lstm(step.unsqueeze(1), state)
                previous = out.squeeze(1)
                steps.append(previous)
            yield self.output(torch.cat(steps))
