"""ExpNet: what the face says, from sound (SadTalker, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thg_zoo.nn.speech_encoder import EMBEDDING, speech_encoder

EXPRESSION = 64
_BLINK = 1


class ExpressionNet(nn.Module):
    """64 coefficients of a 3-D face model's expression per frame.

    mel `[B, 1, 80, 16]` in -4..4, reference `[B, 64]` (whose face speaks), blink `[B, 1]` (how far the eyes are
    closed, 0..1) to `[B, 64]`. Frames know nothing of each other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = speech_encoder()
        self.mapping1 = nn.Linear(EMBEDDING + EXPRESSION + _BLINK, EXPRESSION)

    def forward(self, mel: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        embedding = self.audio_encoder(mel).flatten(1)
        expression: Tensor = self.mapping1(torch.cat((embedding, reference, blink), dim=1))
        return expression
