"""Pictures as networks take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from thg_zoo.media.image import Picture


def to_planes(pictures: Sequence[Picture], device: torch.device) -> Tensor:
    """uint8 [h, w, 3] each, of one size, to float32 `[B, 3, h, w]` in 0..1; in memory channels stay last."""
    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float().div_(255)
