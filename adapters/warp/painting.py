"""Frames from motion: the head resampled along its displacement field, then the mouth and the lids in layers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from thg_zoo.adapters.warp.anatomy import LID_RANGE
from thg_zoo.adapters.warp.canvas import Box, Canvas
from thg_zoo.adapters.warp.cavity import between_lips, blend
from thg_zoo.adapters.warp.field import bell, expression, head_displacement, look_up, mouth_maps, smoothstep, widen

# Height in face units of the lid's margin, which moves without stretching.
_LID_MARGIN = 0.02
# Pixels painted at once on a CPU: PyTorch computes up to 32768 numbers in the calling thread; beyond that it waits
# for its other threads at every operation, for long where a video encoder keeps the cores busy.
_STRIP = 32768 // 3


def paint(canvas: Canvas, motion: dict[str, Tensor], teeth: bool) -> Tensor:
    """The head box, moved: uint8 [B, h, w, 3].

    motion: pose [B, 8] (see `field.POSE`), mouth [B, 3] (jaw 0..1, width -1..1, closure 0..1), eyes [B, 2]
    (lids 0 open .. 1 closed, brows 0..1), and from a driving video flow [B, 2, k, l] (see `transfer`). teeth:
    whether to draw upper teeth where the picture shows none.
    """
    # One frame at a time: its maps fit the cache, and no frame can depend on its neighbours in the batch.
    flows = motion.get("flow")
    parameters = zip(*(motion[name].tolist() for name in ("pose", "mouth", "eyes")), strict=True)
    height, width = canvas.frame.y1, canvas.frame.x1
    frames = torch.empty(len(motion["pose"]), height, width, 3, dtype=torch.uint8, device=canvas.points.device)
    for i, (pose, mouth, eyes) in enumerate(parameters):
        _paint_frame(canvas, frames[i], pose, mouth, eyes, None if flows is None else flows[i], teeth)
    return frames


def _paint_frame(
    canvas: Canvas,
    frame: Tensor,
    pose: list[float],
    mouth: list[float],
    eyes: list[float],
    flow: Tensor | None,
    teeth: bool,
) -> None:
    """Fill one frame, uint8 [h, w, 3]; parameters as for `paint`."""
    jaw, width, closure = mouth
    lids, brows = eyes
    head = torch.stack(head_displacement(pose, canvas.head))
    head[1] += brows * canvas.brow
    if flow is not None:
        head = head + expression(flow, canvas.points + head) * canvas.head[3]
    x, y = canvas.points + head
    x = widen(x, y, canvas.lines, width, jaw)
    maps = mouth_maps(x, y, canvas.lines, jaw, closure)
    lower = y > (maps.upper_edge + maps.lower_edge) / 2
    dx, dy = x - canvas.points[0], torch.where(lower, maps.from_lower, maps.from_upper) - canvas.points[1]
    canvas.texture.warp(torch.stack(_in_pixels(canvas, dx, dy), -1), frame)
    # A point that comes from further right is seen further left: the patches go with the head.
    shifts = _in_pixels(canvas, *head_displacement(pose, canvas.anchors))
    columns, rows = (s.round().int().tolist() for s in shifts)
    lips, *eyelids = [
        p.moved(-c, -r).within(canvas.frame) for p, c, r in zip(canvas.patches, columns, rows, strict=True)
    ]
    pixels = _STRIP if frame.device.type == "cpu" else frame[..., 0].numel()
    for strip in lips.strips(pixels):
        _paint_mouth(canvas, frame, strip, _points_at(canvas, head, strip), mouth, teeth)
    if lids > 0:
        for side, eye in enumerate(eyelids):
            for strip in eye.strips(pixels):
                _paint_lid(canvas, frame, strip, _points_at(canvas, head, strip), side, lids)


def _in_pixels(canvas: Canvas, dx: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    """A displacement in face units in pixels of the picture."""
    a = canvas.to_pixels
    return a[0, 0] * dx + a[0, 1] * dy, a[1, 0] * dx + a[1, 1] * dy


def _points_at(canvas: Canvas, head: Tensor, patch: Box) -> tuple[Tensor, Tensor]:
    """Where the pixels of a patch come from by the head's motion alone: face coordinates x and y, [h, w] each."""
    height, width = canvas.frame.y1, canvas.frame.x1
    rows = (torch.arange(patch.y0, patch.y1, device=head.device) + 0.5) * (2 / height) - 1
    columns = (torch.arange(patch.x0, patch.x1, device=head.device) + 0.5) * (2 / width) - 1
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)[None]
    dx, dy = F.grid_sample(head[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    x, y = canvas.face_points(patch)
    return x + dx, y + dy


def _paint_mouth(
    canvas: Canvas, frame: Tensor, patch: Box, points: tuple[Tensor, Tensor], mouth: list[float], teeth: bool
) -> None:
    """Upper face, inside of the mouth and lower face, in this order, over the mouth's patch of `frame`."""
    (x, y), (jaw, width, closure), unit = points, mouth, canvas.anatomy.unit
    x = widen(x, y, canvas.lines, width, jaw)
    maps = mouth_maps(x, y, canvas.lines, jaw, closure)
    upper, lower = canvas.at(x, maps.from_upper), canvas.at(x, maps.from_lower)
    inside = between_lips(canvas, upper, x, y, maps, teeth)
    above = ((maps.upper_edge - y) * unit + 0.5).clamp(0, 1)
    below = ((y - maps.lower_edge) * unit + 0.5).clamp(0, 1)
    _write(frame, patch, blend(blend(inside, upper, above), lower, below))


def _paint_lid(
    canvas: Canvas, frame: Tensor, patch: Box, points: tuple[Tensor, Tensor], side: int, shut: float
) -> None:
    """The upper lid drawn down over an eye: skin from the fold is stretched, the margin with its lashes moves."""
    (x, y), eye, unit = points, canvas.anatomy.eyes[side], canvas.anatomy.unit
    across = (x - eye.cx) / (eye.width * 1.08)
    arch = (1 - across * across).clamp(min=0)
    rest = eye.cy + eye.tilt * (x - eye.cx) - eye.upper * arch
    travel = shut * (eye.upper + eye.lower + 0.04) * arch
    edge = rest + travel
    # Between the fold and the margin the skin stretches evenly.
    top, bottom = rest - eye.fold * (0.5 + 0.5 * arch), edge - _LID_MARGIN
    stretch = (bottom - top) / (bottom - travel - top)
    source_y = torch.where(y > bottom, y - travel, torch.where(y < top, y, top + (y - top) / stretch))
    lid = canvas.at(x, source_y)
    # What little skin there is would show its grain when it is drawn out far: plain skin takes over, which
    # passes from the colour above the eye to the colour below it, lighter where the ball of the eye bulges.
    over, under = look_up(canvas.lids[side], LID_RANGE, across).permute(1, 2, 0).chunk(2, dim=-1)
    down = ((y - rest) / (eye.upper + eye.lower)).clamp(0, 1)
    plain = blend(over, under, down) * (1 + 0.06 * down * (1 - down) * 4 * arch)[..., None]
    lid = blend(lid, plain, 0.85 * smoothstep((stretch - 2.0) / 2.5) * smoothstep((y - top) / 0.08))
    moved = (travel * unit).clamp(0, 1)
    lash = bell(((y - edge) * (1 / (0.014 + 0.4 / unit))) ** 2) * smoothstep(arch * 2) * shut * moved
    lid = blend(lid, 56 * torch.from_numpy(canvas.anatomy.skin).to(lid.device), 0.7 * lash)
    covered = ((edge - y) * unit + 0.5).clamp(0, 1) * moved
    _write(frame, patch, blend(frame[patch.slices].float(), lid, covered))


def _write(frame: Tensor, patch: Box, colours: Tensor) -> None:
    frame[patch.slices] = (colours + 0.5).clamp_(0, 255).to(torch.uint8)
