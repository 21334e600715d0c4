"""What is seen between parted lips: the picture's own teeth, or a drawn hint of teeth, and the dark behind them."""

from __future__ import annotations

import torch
from torch import Tensor

from thg_zoo.adapters.warp.anatomy import Anatomy
from thg_zoo.adapters.warp.canvas import Canvas
from thg_zoo.adapters.warp.field import MouthMaps, bell, smoothstep

# Height in face units of the upper teeth's visible part, and where teeth meet to either side of the middle.
_TEETH = 0.06
_TOOTH_EDGES = (0.0, 0.135, 0.24, 0.34)


def blend(under: Tensor, over: Tensor, alpha: Tensor) -> Tensor:
    """`over` laid on `under` [h, w, 3] with an opacity [h, w] of 0..1; where that is 0, `under` exactly."""
    return under + alpha[..., None] * (over - under)


def between_lips(canvas: Canvas, upper: Tensor, x: Tensor, y: Tensor, maps: MouthMaps, teeth: bool) -> Tensor:
    """Colours [h, w, 3] in 0..255 for points (x, y) between the lips; upper: what the upper face shows there.

    Where the lips touch it is `upper`, so that a closed mouth is the picture's own.
    """
    anatomy, unit = canvas.anatomy, canvas.anatomy.unit
    top, behind = maps.upper_edge, upper
    if anatomy.teeth:
        # The teeth that the picture shows belong to the skull; below them the mouth opens.
        top = torch.minimum(maps.rest_lower, maps.lower_edge)
        behind = blend(upper, canvas.at(x, y), ((maps.rest_lower - maps.rest_upper) * unit).clamp(0, 1))
    depth = y - top
    gap = maps.lower_edge - torch.maximum(top, maps.upper_edge)
    shown = (gap * unit).clamp(0, 1) * (depth * unit + 0.5).clamp(0, 1)
    return blend(behind, _cavity(canvas, depth, gap, maps, y, teeth and not anatomy.teeth), shown)


def _cavity(canvas: Canvas, depth: Tensor, gap: Tensor, maps: MouthMaps, y: Tensor, teeth: bool) -> Tensor:
    """The inside of an open mouth: dark, redder towards the tongue, with the edge of the upper teeth."""
    side = (maps.across * maps.across).clamp(max=1)
    dark, tongue, tooth = _colours(canvas.anatomy, depth.device)
    down = (depth / gap.clamp(min=1e-3)).clamp(0, 1)
    # Light falls in from the front and above: the middle and the tongue catch some of it.
    lit = smoothstep((down - 0.35) / 0.65) * (1 - side) * smoothstep((gap - 0.05) / 0.16)
    inside = blend(dark.expand(*depth.shape, 3), tongue, 0.7 * lit)
    if teeth:
        seen, between = _upper_teeth(canvas, maps, depth, gap, y)
        inside = blend(inside, tooth * (1 - 0.13 * between)[..., None], seen)
    return inside


def _upper_teeth(canvas: Canvas, maps: MouthMaps, depth: Tensor, gap: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """How much of the upper teeth is seen, and how close to a gap between two of them, 0..1 each."""
    unit = canvas.anatomy.unit
    x = (maps.across * canvas.lines.half).abs()
    between = torch.zeros_like(x)
    for at in _TOOTH_EDGES:
        between = between + bell(((x - at) * (1 / (0.011 + 0.3 / unit))) ** 2)
    side = (maps.across * maps.across).clamp(max=1)
    # Teeth hang from the skull on a plain arc, whatever the lips' outline.
    edge = canvas.lines.arc - 0.02 * side + _TEETH * (1 - 0.25 * side) - 0.008 * between
    row = ((edge - y) / (0.018 + 0.6 / unit) + 0.5).clamp(0, 1) * (1 - smoothstep((maps.across.abs() - 0.25) / 0.5))
    # The upper lip shades them, and a narrow gap lets little light in.
    shade = 0.4 + 0.6 * smoothstep(depth / 0.05)
    return row * shade * (0.4 + 0.38 * smoothstep(gap / 0.1)), between


def _colours(anatomy: Anatomy, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Dark, tongue and teeth, [3] each in 0..255, in the light of the picture."""
    skin, lip = (torch.from_numpy(c).float().to(device) for c in (anatomy.skin, anatomy.lip))
    ivory = torch.tensor([1.08, 1.02, 0.93], device=device)
    dark = 0.16 * lip * lip.mean().sqrt() + 0.01
    return 255 * dark, 255 * 0.55 * lip, 255 * (0.25 * skin + 0.75 * skin.mean() * ivory).clamp(max=0.86)
