"""One person's face through a video: detection in batches, identity, smoothing, and frames without a face.

Everything streams. The result depends on the frames alone, not on the batch size, and needs a bounded number of
frames of look-ahead: a batch, BRIDGE * `every` frames, half the smoothing window, and HOLD_AHEAD at the start.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thg_zoo.errors import FaceError, OptionError
from thg_zoo.faces.boxes import overlap
from thg_zoo.faces.choose import FaceRule, check_rule, choose_face
from thg_zoo.faces.detector import Face, FaceDetector, Picture
from thg_zoo.faces.shots import Shot, shots

MissingFace: TypeAlias = Literal["error", "hold", "pass"]

# A face that the detector loses for at most so many looks within a shot did not leave.
BRIDGE = 5
# Frames to wait for the first face, to be shown before it with `missing` = hold.
HOLD_AHEAD = 25
# Looks after which a person who is not found again is given up, and one chosen anew.
_PATIENCE = 12
# Least IoU of the same face in two looks that follow each other.
SAME_FACE = 0.3


@dataclass(frozen=True)
class _Seen:
    """A frame and its face so far. `stretch`: frames of one number show one person without interruption."""

    shot: Shot
    face: Face | None
    stretch: int
    found: int = 0


def track_faces(
    frames: Iterable[Picture],
    detector: FaceDetector,
    rule: FaceRule = "largest",
    missing: MissingFace = "error",
    *,
    what: str = "the video",
    fps: Fraction | None = None,
    window: int = 5,
    every: int = 1,
    batch: int = 16,
) -> Iterator[tuple[Picture, Face | None]]:
    """Every frame (RGB uint8 [H, W, 3]) in order with the face of one person.

    rule: see `choose_face`; it chooses at the start of each shot, then the face is followed by the overlap of its
    boxes. A face that jumps starts afresh: positions are never smoothed or interpolated over a cut or a jump.
    missing: what to do where the face is missing for more than BRIDGE looks (shorter gaps within a shot are
    interpolated): `error` raises FaceError with the frame's number and time; `hold` repeats the last face, or
    before the first one shows that one, if it comes within HOLD_AHEAD frames; `pass` gives None.
    what, fps: for messages. window: odd number of frames over which boxes and points are averaged with triangular
    weights, symmetrically, so that they do not lag; 1 is none. Near the ends of a stretch the window shrinks.
    every: the detector looks at every n-th frame, and at the first and last of a shot; between looks faces are
    interpolated. batch: frames per call of the detector.

    Raises FaceError as above, OptionError for a rule, window, step or batch that cannot be.
    """
    check_rule(rule)
    if missing not in ("error", "hold", "pass"):
        raise OptionError(f"missing = {missing!r} is unknown.", "Give error, hold or pass.")
    if window < 1 or window % 2 == 0 or every < 1 or batch < 1:
        raise OptionError(
            f"Cannot track with window {window}, every {every}, batch {batch}.",
            "Give an odd window, and a step and a batch of at least 1.",
        )
    seen = _followed(_detected(shots(frames, every), detector, batch), rule, what)
    smooth = _smoothed(_bridged(seen, (BRIDGE + 1) * every - 1), window // 2)
    return _filled(smooth, missing, what, fps)


def _detected(items: Iterator[Shot], detector: FaceDetector, batch: int) -> Iterator[tuple[Shot, list[Face]]]:
    """The faces of the frames that are examined; none for the others."""
    while chunk := list(itertools.islice(items, batch)):
        looks = [item.frame for item in chunk if item.examined]
        results = iter(detector.detect(looks) if looks else [])
        for item in chunk:
            yield item, next(results) if item.examined else []


def _followed(items: Iterable[tuple[Shot, list[Face]]], rule: FaceRule, what: str) -> Iterator[_Seen]:
    """One person per shot."""
    stretch, lost = 0, 0
    last: Face | None = None
    alone = False
    for shot, faces in items:
        if shot.starts:
            stretch, last = stretch + 1, None
        if not shot.examined:
            yield _Seen(shot, None, stretch)
            continue
        face = _same(last, faces)
        # Someone alone before and after is the same person: a jump cut, or a fast movement.
        jumped = face is None and alone and len(faces) == 1
        if face is None and (last is None or jumped or lost >= _PATIENCE):
            face = _chosen(faces, rule, what)
            stretch += face is not None and last is not None
        lost = 0 if face else lost + 1
        if face:
            last, alone = face, len(faces) == 1
        yield _Seen(shot, face, stretch, len(faces))


def _same(last: Face | None, faces: list[Face]) -> Face | None:
    """The face that overlaps `last` most, if any does enough."""
    if last is None or not faces:
        return None
    shares = overlap(last.box, np.stack([face.box for face in faces]))
    best = int(shares.argmax())
    return faces[best] if shares[best] > SAME_FACE else None


def _chosen(faces: list[Face], rule: FaceRule, what: str) -> Face | None:
    """By the rule; None where it names a face that is not there (whether that matters is for `missing` to say)."""
    try:
        return choose_face(faces, rule, what)
    except FaceError:
        return None


def _bridged(items: Iterable[_Seen], limit: int) -> Iterator[_Seen]:
    """Gaps of up to `limit` frames between faces of one stretch, filled by linear interpolation.

    Frames that were not examined after a face that does not go on take that face.
    """
    before: _Seen | None = None
    gap: list[_Seen] = []
    for item in items:
        if before and (item.stretch != before.stretch or (item.face is None and len(gap) == limit)):
            yield from _continued(before, gap)
            before, gap = None, []
        if before is None and item.face is None:
            yield item
        elif item.face is None:
            gap.append(item)
        else:
            if before and before.face:
                for i, missed in enumerate(gap, 1):
                    yield replace(missed, face=_mixed([before.face, item.face], [len(gap) + 1 - i, i]))
            yield item
            before, gap = item, []
    if before:
        yield from _continued(before, gap)


def _continued(before: _Seen, gap: list[_Seen]) -> Iterator[_Seen]:
    unseen = list(itertools.takewhile(lambda item: not item.shot.examined, gap))
    yield from (replace(item, face=before.face) for item in unseen)
    yield from gap[len(unseen) :]


def _smoothed(items: Iterable[_Seen], half: int) -> Iterator[_Seen]:
    """Each face averaged with up to `half` neighbours on either side, as many on one as on the other."""
    around: deque[_Seen] = deque(maxlen=2 * half + 1)
    ahead = 0
    for item in items:
        around.append(item)
        ahead += 1
        if ahead > half:
            ahead -= 1
            yield _averaged(list(around), len(around) - 1 - half, half)
    for rest in range(ahead, 0, -1):
        yield _averaged(list(around), len(around) - rest, half)


def _averaged(around: list[_Seen], at: int, half: int) -> _Seen:
    item = around[at]
    if item.face is None:
        return item
    reach = 0
    while (
        reach < half
        and at - reach > 0
        and at + reach + 1 < len(around)
        and all(n.face and n.stretch == item.stretch for n in (around[at - reach - 1], around[at + reach + 1]))
    ):
        reach += 1
    faces = [n.face for n in around[at - reach : at + reach + 1] if n.face]
    weights = [reach + 1 - abs(i) for i in range(-reach, reach + 1)]
    return replace(item, face=replace(_mixed(faces, weights), score=item.face.score))


def _mixed(faces: list[Face], weights: list[int]) -> Face:
    """Weighted mean. Sums are in float64, so that equal faces stay equal."""

    def mean(arrays: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        total = np.average(np.stack(arrays).astype(np.float64), axis=0, weights=weights)
        mixed: NDArray[np.float32] = total.astype(np.float32)
        return mixed

    points = [face.points for face in faces if face.points is not None]
    score = float(np.average([face.score for face in faces], weights=weights))
    return Face(mean([face.box for face in faces]), mean(points) if len(points) == len(faces) else None, score)


def _filled(
    items: Iterable[_Seen], missing: MissingFace, what: str, fps: Fraction | None
) -> Iterator[tuple[Picture, Face | None]]:
    """What `missing` says about frames without a face."""
    last: Face | None = None
    waiting: list[_Seen] = []
    for item in items:
        if item.face:
            yield from ((early.shot.frame, item.face) for early in waiting)
            waiting, last = [], item.face
        if item.face or missing == "pass" or (missing == "hold" and last):
            yield item.shot.frame, item.face or (last if missing == "hold" else None)
        elif missing == "hold" and len(waiting) < HOLD_AHEAD:
            waiting.append(item)
        else:
            raise _error(waiting[0] if waiting else item, missing, what, fps)
    if waiting:
        raise _error(waiting[0], missing, what, fps)


def _error(item: _Seen, missing: MissingFace, what: str, fps: Fraction | None) -> FaceError:
    index = item.shot.index
    time = f" ({float(index / fps):.2f} s)" if fps else ""
    count = f"none of the {item.found} faces there is the one followed" if item.found else "no face was found"
    others = "missing_face=pass" if missing == "hold" else "missing_face=hold or missing_face=pass"
    return FaceError(
        f"In frame {index}{time} of {what} {count}.", f"Cut the video, give {others}, or choose another face."
    )
