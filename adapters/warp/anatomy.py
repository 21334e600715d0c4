"""Where the lips and the eyelids of a face are, and what colours it has: found once per source.

Everything is said in face units: the origin lies between the eyes, x points to the right and y down along
the face, and the eyes are about 1 apart. Five detected points place these axes; image evidence does the
rest. The line along which a mouth parts is the cheapest path through a map of valleys and edges (dynamic
programming, as in seam carving), and an eye is a pair of parabolas fitted to its edges (the deformable
template of Yuille, Hallinan and Cohen 1992, with the search done exhaustively).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.errors import FaceError
from thg_zoo.faces.detector import Face
from thg_zoo.faces.transforms import similarity_from_points

Array = NDArray[np.float32]

# The five points of an average frontal face in face units: eyes, nose, corners of the mouth.
TEMPLATE = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.58), (-0.41, 1.14), (0.41, 1.14)])
# Samples per face unit in the crops that are analysed, whatever the size of the face.
_DENSITY = 160
# Lip lines are tabulated over this range of x.
LINE_RANGE = (-0.9, 0.9)
LINE_SAMPLES = 181
LID_RANGE = (-1.5, 1.5)
_LID_SAMPLES = 31


class Eye(NamedTuple):
    """An eye between two parabolas over x - cx in -width..width, upper and lower high; fold: free skin above it."""

    cx: float
    cy: float
    width: float
    upper: float
    lower: float
    tilt: float
    fold: float


@dataclass(frozen=True)
class Anatomy:
    """A face in its own units.

    matrix: 2x3, from picture pixels to face units; unit: pixels per face unit; corners: x of the mouth's ends;
    upper_line, lower_line: y of the lips' inner edges, tabulated over `LINE_RANGE`, one and the same line
    where the mouth is closed; teeth: whether teeth show between them; eyes: left and right in the picture;
    skin, lip: RGB in 0..1; lids: [2, n, 6], the colours above and below each eye over
    `LID_RANGE` half widths of it.
    """

    matrix: NDArray[np.float64]
    unit: float
    corners: tuple[float, float]
    upper_line: Array
    lower_line: Array
    teeth: bool
    eyes: tuple[Eye, Eye]
    skin: Array
    lip: Array
    lids: Array


class _Crop:
    """The face in face units: a picture of `_DENSITY` samples per unit over x0..x1, y0..y1."""

    def __init__(
        self, image: NDArray[np.uint8], matrix: NDArray[np.float64], window: tuple[float, float, float, float]
    ):
        x0, y0, x1, y1 = window
        self.x0, self.y0 = x0, y0
        to_crop = matrix * _DENSITY
        to_crop[:, 2] -= np.array([x0, y0]) * _DENSITY
        size = (round((x1 - x0) * _DENSITY) + 1, round((y1 - y0) * _DENSITY) + 1)
        shrink = _DENSITY * np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        if shrink < 0.7:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 / shrink), np.uint8)
        crop = cv2.warpAffine(image, to_crop, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        self.rgb: Array = np.asarray(crop, np.float32) / np.float32(255)
        self.lab: Array = np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2LAB), np.float32)

    def patch(self, x: float, y: float, half: float) -> Array:
        """RGB of the square around (x, y), as rows."""
        c, r, h = (round(v * _DENSITY) for v in (x - self.x0, y - self.y0, half))
        rows, columns = (slice(max(i - h, 0), max(i + h + 1, 1)) for i in (r, c))
        colours: Array = self.rgb[rows, columns].reshape(-1, 3)
        return colours

    def sample(self, values: Array, x: NDArray[np.float64], y: NDArray[np.float64]) -> Array:
        """`values` at face points, bilinear."""
        map_x = ((x - self.x0) * _DENSITY).astype(np.float32)
        map_y = ((y - self.y0) * _DENSITY).astype(np.float32)
        found = cv2.remap(values, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, np.float32)


def study(image: NDArray[np.uint8], points: NDArray[np.float32]) -> Anatomy:
    """The anatomy of the face whose five points [5, 2] are given, in a picture uint8 [H, W, 3]."""
    matrix = similarity_from_points(points.astype(np.float64), TEMPLATE)
    unit = 1 / float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    five = points @ matrix[:, :2].T + matrix[:, 2]
    crop = _Crop(image, matrix, (-1.1, -0.6, 1.1, 1.9))
    cheeks = np.concatenate([crop.patch(x, 0.62, 0.08) for x in (-0.42, 0.42)] + [crop.patch(0, 0.3, 0.08)])
    skin = np.median(cheeks, axis=0)
    mouth = _find_mouth(crop, five[3], five[4], skin)
    eyes = (_find_eye(crop, five[0], skin), _find_eye(crop, five[1], skin))
    return Anatomy(
        matrix=matrix,
        unit=unit,
        corners=mouth.corners,
        upper_line=mouth.upper,
        lower_line=mouth.lower,
        teeth=mouth.teeth,
        eyes=eyes,
        skin=skin,
        lip=mouth.colour,
        lids=np.stack([_lid_colour(crop, eye, skin) for eye in eyes]),
    )


def unrest(image: NDArray[np.uint8], points: NDArray[np.float32]) -> float:
    """How far a face is from looking straight ahead with its lips closed: 0 at rest, 1 and more otherwise."""
    matrix = similarity_from_points(points.astype(np.float64), TEMPLATE)
    five = points @ matrix[:, :2].T + matrix[:, 2]
    crop = _Crop(image, matrix, (-0.4, 0.2, 0.4, 1.5))
    skin = np.median(np.concatenate([crop.patch(x, 0.62, 0.08) for x in (-0.3, 0.3)]), axis=0)
    left, right = five[3] * 0.8 + five[4] * 0.2, five[3] * 0.2 + five[4] * 0.8
    x = np.linspace(left[0], right[0], 33)
    y = np.linspace(left[1], right[1], 33) + np.linspace(-0.06, 0.22, 33)[:, None]
    lab = np.stack([crop.sample(crop.lab[..., i], np.broadcast_to(x, y.shape), y) for i in range(3)], axis=-1)
    turned = abs(float(five[2, 0] - (five[0, 0] + five[1, 0]) / 2))
    return 2 * float(_interior(lab, skin).mean()) + 2 * turned


def points_of(face: Face) -> Array:
    """A face's five points. Raises FaceError if its detector gave none."""
    if face.points is None:
        raise FaceError("The face was found without its eyes and mouth.", "Use a detector that gives five points.")
    return face.points


class _Mouth(NamedTuple):
    corners: tuple[float, float]
    upper: Array
    lower: Array
    teeth: bool
    colour: Array


def _find_mouth(crop: _Crop, left: Array, right: Array, skin: Array) -> _Mouth:
    """The lips' inner edges between two detected corners."""
    x = np.arange(left[0] - 0.02, right[0] + 0.02, 1 / _DENSITY)
    chord = np.interp(x, [left[0], right[0]], [left[1], right[1]])
    # Rows are offsets from the chord, so that a tilted mouth is searched like a level one.
    offset = np.arange(-0.12, 0.3, 1 / _DENSITY)
    grid_x = np.broadcast_to(x, (len(offset), len(x)))
    grid_y = offset[:, None] + chord
    lab = np.stack([crop.sample(crop.lab[..., i], grid_x, grid_y) for i in range(3)], axis=-1)
    inside = _interior(lab, skin)
    reach = np.clip(1 - ((x - x.mean()) / (np.ptp(x) / 2)) ** 2, 0, 1)
    valley = _valley(lab[..., 0]) + 0.8 * _amid_red(lab[..., 1], skin) + 1.2 * _darkness(lab[..., 0])
    # A line may sag by a quarter unit in the middle (a smile) but has to come back to the corners.
    stray = (
        np.maximum(0, offset[:, None] - 0.03 - 0.2 * reach) + np.maximum(0, -0.03 - 0.06 * reach - offset[:, None])
    ) * 40
    teeth = _teeth(inside, offset, reach)
    if teeth:
        edge = _edge(inside)
        lower = _cheapest_path(stray - 3 * np.maximum(-edge, 0) - 0.5 * valley)
        above = np.arange(len(offset))[:, None] > lower
        upper = _cheapest_path(stray - 3 * np.maximum(edge, 0) - 0.5 * valley + 100 * above)
    else:
        upper = lower = _cheapest_path(stray - valley)
    lines = [cv2.GaussianBlur((offset[p] + chord)[None], (0, 0), 2.0)[0] for p in (upper, lower)]
    # At its ends a mouth is closed.
    middle, closing = (lines[0] + lines[1]) / 2, np.sqrt(reach)
    table = np.linspace(*LINE_RANGE, LINE_SAMPLES)
    upper_line, lower_line = (np.interp(table, x, middle + (line - middle) * closing) for line in lines)
    colour = np.median(
        np.concatenate([crop.patch(c, np.interp(c, table, lower_line) + 0.06, 0.02) for c in (-0.12, 0.0, 0.12)]),
        axis=0,
    )
    return _Mouth(
        (float(left[0]), float(right[0])), upper_line.astype(np.float32), lower_line.astype(np.float32), teeth, colour
    )


def _interior(lab: Array, skin: Array) -> Array:
    """How much like the inside of a mouth: bright and colourless as teeth, or far darker than skin. 0..1."""
    reference = cv2.cvtColor(skin.astype(np.float32)[None, None], cv2.COLOR_RGB2LAB)[0, 0]
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    skin_chroma = float(np.hypot(reference[1], reference[2]))
    light = lab[..., 0] / max(float(reference[0]), 5.0)
    if skin_chroma > 8:
        # Lips redden where teeth turn towards yellow at most, so redness tells them apart.
        plain = np.clip((1.0 - lab[..., 1] / max(float(reference[1]), 6.0)) * 2.5, 0, 1) * np.clip(
            1.6 - chroma / skin_chroma, 0, 1
        )
        bright = np.clip((light - 0.6) * 4, 0, 1)
    else:
        plain, bright = np.ones_like(light), np.clip((light - 1.0) * 6, 0, 1)
    dark = np.clip((0.27 - light) * 8, 0, 1)
    return np.asarray(np.maximum(plain * bright, dark), np.float32)


def _teeth(inside: Array, offset: NDArray[np.float64], reach: NDArray[np.float64]) -> bool:
    """Whether the mouth shows its inside: over half of its width, and more than a dark line's height."""
    central = reach > 0.6
    height = (inside[(offset > -0.05)] > 0.5).sum(axis=0)[central] / _DENSITY
    return bool(np.mean(height > 0.05) > 0.6)


def _valley(light: Array) -> Array:
    """How much darker a point is than what lies above and below it, at the scale of a lip line."""
    smooth = cv2.GaussianBlur(light, (0, 0), sigmaX=4, sigmaY=1.5)
    reach = round(0.05 * _DENSITY)
    padded = np.pad(smooth, ((reach, reach), (0, 0)), mode="edge")
    n = len(light)
    depth = np.minimum(padded[:n] - smooth, padded[2 * reach :] - smooth)
    return np.asarray(np.clip(depth / 10, -1, 1.5), np.float32)


def _darkness(light: Array) -> Array:
    """How dark a point is among those of its column: 1 for the darkest, 0 for the brightest."""
    smooth = cv2.GaussianBlur(light, (0, 0), sigmaX=4, sigmaY=1.5)
    low, high = smooth.min(axis=0), smooth.max(axis=0)
    share: Array = (high - smooth) / np.maximum(high - low, 8)
    return share**2


def _amid_red(redness: Array, skin: Array) -> Array:
    """How much redder than the skin it is both above and below a point, 0..1: between lips rather than under them."""
    reference = cv2.cvtColor(skin.astype(np.float32)[None, None], cv2.COLOR_RGB2LAB)[0, 0, 1]
    reach = round(0.06 * _DENSITY)
    mean = cv2.blur(redness, (9, reach), borderType=cv2.BORDER_REPLICATE)
    padded = np.pad(mean, ((reach, reach), (0, 0)), mode="edge")
    n = len(redness)
    least: Array = np.minimum(padded[:n], padded[2 * reach :]) - reference
    return np.clip(least / 12, 0, 1)


def _edge(inside: Array) -> Array:
    """Vertical derivative of the interior map: positive where the interior begins, negative where it ends."""
    smooth = cv2.GaussianBlur(inside, (0, 0), sigmaX=3, sigmaY=1.5)
    return np.asarray(np.gradient(smooth, axis=0) * 6, np.float32)


def _cheapest_path(cost: NDArray[np.floating]) -> NDArray[np.intp]:
    """The row per column of the cheapest path from left to right that climbs at most one row per column."""
    columns = cost.shape[1]
    total = np.empty_like(cost)
    total[:, 0] = cost[:, 0]
    for c in range(1, columns):
        before = np.pad(total[:, c - 1], 1, constant_values=np.inf)
        total[:, c] = cost[:, c] + np.minimum(before[1:-1], np.minimum(before[:-2], before[2:]) + 0.1)
    path = np.empty(columns, np.intp)
    path[-1] = np.argmin(total[:, -1])
    for c in range(columns - 2, -1, -1):
        low = max(path[c + 1] - 1, 0)
        near = total[low : path[c + 1] + 2, c].copy()
        near[np.arange(low, low + len(near)) != path[c + 1]] += 0.1
        path[c] = low + np.argmin(near)
    return path


def _find_eye(crop: _Crop, point: Array, skin: Array) -> Eye:
    """The pair of parabolas that best follows the lids around a detected eye, held near an average eye's."""
    smooth = cv2.GaussianBlur(crop.lab, (0, 0), 1.5)
    reference = max(float(cv2.cvtColor(skin.astype(np.float32)[None, None], cv2.COLOR_RGB2LAB)[0, 0, 0]), 10.0)
    darkening = np.gradient(smooth[..., 0], axis=0) * (10 / reference)
    below = np.median(crop.patch(float(point[0]), float(point[1]) + 0.24, 0.04), axis=0)
    under_eye = cv2.cvtColor(below.astype(np.float32)[None, None], cv2.COLOR_RGB2LAB)[0, 0]
    strange = np.clip(np.linalg.norm(smooth - under_eye, axis=-1) / 25, 0, 1)
    s = np.linspace(-0.8, 0.8, 17)
    arch = 1 - s**2
    best, chosen = -np.inf, Eye(float(point[0]), float(point[1]), 0.28, 0.08, 0.05, 0.0, 0.0)
    for dx, dy, width, tilt in itertools.product(
        (-0.03, 0.0, 0.03), np.arange(-0.045, 0.046, 0.015), (0.25, 0.28, 0.31), (-0.12, 0.0, 0.12)
    ):
        x = point[0] + dx + s * width
        base = point[1] + dy + tilt * s * width
        for upper, lower in itertools.product((0.05, 0.065, 0.08, 0.095, 0.11), (0.045, 0.06, 0.075, 0.09)):
            curves = np.stack([base - upper * arch, base + (lower - 0.025) * arch, base + (lower + 0.025) * arch])
            rim = crop.sample(darkening, x[None], curves[:1])
            edge = crop.sample(strange, np.broadcast_to(x, (2, len(x))), curves[1:])
            prior = (
                ((upper - 0.08) / 0.03) ** 2
                + ((lower - 0.068) / 0.02) ** 2
                + (dy / 0.03) ** 2
                + (tilt / 0.2) ** 2
                + (dx / 0.05) ** 2
            )
            score = -rim.mean() + (edge[0] - edge[1]).mean() - 0.05 * prior
            if score > best:
                best, chosen = score, Eye(point[0] + dx, point[1] + dy, width, upper, lower, tilt, 0.0)
    # An iris reaches about 0.09 below the pupil, and the lower lid seldom hides more of it than its rim.
    lowest = max(chosen.lower, float(point[1]) + 0.075 - chosen.cy)
    chosen = Eye(*(float(v) for v in chosen))
    return chosen._replace(lower=lowest, fold=_free_skin(crop, chosen))


def _free_skin(crop: _Crop, eye: Eye) -> float:
    """Face units between the upper lid's edge and the brow, which a blink must not drag down: 0.05..0.13."""
    up = np.arange(0.03, 0.3, 1 / _DENSITY)
    columns = eye.cx + np.linspace(-0.6, 0.6, 9) * eye.width
    smooth = np.asarray(cv2.GaussianBlur(crop.lab[..., 0], (0, 0), 2), np.float32)
    light = crop.sample(
        smooth,
        np.broadcast_to(columns, (len(up), 9)),
        (eye.cy - eye.upper - up)[:, None] + 0 * columns,
    )
    brightest = np.maximum.accumulate(light, axis=0)
    brow = light < 0.88 * brightest
    heights = np.where(brow.any(axis=0), up[brow.argmax(axis=0)], up[-1])
    return float(np.clip(0.75 * np.quantile(heights, 0.25), 0.05, 0.13))


def _lid_colour(crop: _Crop, eye: Eye, skin: Array) -> Array:
    """The skin above and below an eye by position across it, [n, 6]: two colours that a closed lid passes between."""
    s = np.linspace(*LID_RANGE, _LID_SAMPLES)
    base = eye.cy + eye.tilt * s * eye.width
    arch = np.clip(1 - s**2, 0, 1)
    rows = np.linspace(0.0, 1.0, 12)[:, None]
    bands = (base - eye.upper * arch - 0.03 - rows * (0.03 + eye.fold), base + eye.lower * arch + 0.05 + rows * 0.06)
    colours = []
    for y in bands:
        x = np.broadcast_to(eye.cx + s * eye.width, y.shape)
        rgb = np.stack([crop.sample(crop.rgb[..., i], x, y) for i in range(3)], axis=-1)
        # The brighter half leaves out lashes, brow and creases.
        median = np.quantile(rgb, 0.65, axis=0)
        colours.append(
            cv2.GaussianBlur(median[None], (0, 0), sigmaX=4, sigmaY=1e-3, borderType=cv2.BORDER_REPLICATE)[0]
        )
    return (0.85 * np.concatenate(colours, axis=1) + 0.15 * np.tile(skin, 2)).astype(np.float32)
