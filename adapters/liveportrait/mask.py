"""From the rendered crop to pixels: the border at which it joins the picture, published or soft, and its levels."""

from __future__ import annotations

import torch
from torch import Tensor

from thg_zoo.adapters.liveportrait.crop import CROP_SIDE
from thg_zoo.adapters.liveportrait.options import LivePortraitOptions
from thg_zoo.faces.paste import feather_mask

# The published border falls over so many pixels, with rounded corners.
_BORDER = 16


def crop_mask(options: LivePortraitOptions, device: torch.device | str = "cpu") -> Tensor:
    """Weights `[512, 512]` of the crop, 0..1."""
    if options.mask == "soft":
        return feather_mask((CROP_SIDE, CROP_SIDE), options.feather, device)
    return published_mask().to(device) / 255


def published_mask() -> Tensor:
    """The levels 0..255 of the authors' mask `[512, 512]`: they fall with the distance from an inner square."""
    position = torch.arange(CROP_SIDE, dtype=torch.float64)
    outside = (_BORDER - position).clamp(min=0) + (position - (CROP_SIDE - _BORDER)).clamp(min=0)
    distance = torch.hypot(outside[:, None], outside[None, :])
    return (255 * (1 - distance / _BORDER).clamp(0, 1)).floor().float()


def whole_levels(rendered: Tensor) -> Tensor:
    """Crops `[B, 3, h, w]` in 0..1 as uint8 `[B, h, w, 3]`, cut off instead of rounded, as published."""
    return (rendered.clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
