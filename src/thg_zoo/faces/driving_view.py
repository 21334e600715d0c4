"""How driving pictures are looked at: which part of them, and from which frame relative movement begins."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thg_zoo.errors import OptionError
from thg_zoo.faces.choose import choose_face, rule_of
from thg_zoo.faces.detector import FaceDetector
from thg_zoo.faces.missing import no_face
from thg_zoo.faces.moving_crop import MovingCrop
from thg_zoo.faces.person_crop import PersonCrop, given_crop
from thg_zoo.faces.source_crop import Crop, cut
from thg_zoo.faces.track import track_faces
from thg_zoo.inputs import Driver, Frame
from thg_zoo.keypoints.best_frame import best_frame
from thg_zoo.keypoints.driving_options import DriverCropOptions
from thg_zoo.run import Run

# Every so many seconds, and frames at most, the face of a driver is looked for: the crop is the same for all.
_LOOK_EVERY, _MOST_PASSED = Fraction(1, 5), 5
# Seconds over which a moving crop's positions are averaged before each frame, and as much of look-ahead; of fast
# videos fewer, for frames wait in memory.
_SMOOTHED, _MOST_SMOOTHED = Fraction(1, 2), 30


@dataclass(frozen=True)
class View:
    """How driving frames are looked at: the crop of all of them, or one that moves, and the reference of relative
    movement.
    """

    crop: Crop | MovingCrop
    reference: int

    def cut(self, frame: Frame, index: int) -> Frame:
        """What is looked at of frame `index`."""
        return self.crop.cut(frame, index) if isinstance(self.crop, MovingCrop) else cut(frame, self.crop)


def find_view(
    driver: Driver,
    options: DriverCropOptions,
    reference: str,
    likeness: tuple[str, Frame] | None,
    detector: FaceDetector,
    run: Run,
) -> View:
    """Passes over the driver to find the face, unless a box is given and the reference is known.

    reference: `first` (with a face), `find` or a frame's number; likeness: name and pixels of the source, with which
    `find` compares. Raises FaceError where no face is found, OptionError for a box outside.
    """
    size = driver.frames.size
    searched = options.driver_crop != "none" and options.driver_crop_box is None
    moving = searched and options.driver_crop == "smooth"
    person: PersonCrop | MovingCrop = MovingCrop() if moving else PersonCrop()
    best = None
    if reference == "find":
        of_source = _landmarks(likeness, detector)
        best = best_frame(of_source, _followed(driver, person, 1, options, detector, run))
    elif searched:
        every = min(max(int(_LOOK_EVERY * (driver.frames.fps or 0)), 1), _MOST_PASSED)
        deque(_followed(driver, person, every, options, detector, run), maxlen=0)
    if person.first is None and (searched or reference == "find"):
        found = reference == "find"
        choices = "best_frame=first with driver_crop=none" if found else "driver_crop=none or driver_crop_box"
        raise no_face(driver.name, options.driver_face, f"give another driver, {choices}", option="driver_face")
    crop: Crop | MovingCrop = (0, 0, size[1], size[0])
    if options.driver_crop_box is not None:
        crop = given_crop(options.driver_crop_box, size, driver.name)
    elif searched:
        crop = _settled(person, size, driver.name, run)
    if reference == "first":
        best = person.first
        if best:
            run.warn(f"{driver.name} shows no face before frame {best}, which is taken as the reference.")
    return View(crop, int(reference) if reference.isdecimal() else best or 0)


def _followed(
    driver: Driver,
    person: PersonCrop | MovingCrop,
    every: int,
    options: DriverCropOptions,
    detector: FaceDetector,
    run: Run,
) -> Iterator[NDArray[np.floating[Any]] | None]:
    """Landmarks `[5, 2]` of the driving face in every frame, None where there is none; the crop grows with them."""
    source = driver.frames
    rule = rule_of(options.driver_face)
    smoothed = min(int(_SMOOTHED * (source.fps or 0)), _MOST_SMOOTHED) if isinstance(person, MovingCrop) else 0
    with contextlib.closing(source.frames()) as frames:
        tracked = track_faces(frames, detector, rule, "pass", what=driver.name, window=2 * smoothed + 1, every=every)
        for i, (_, face) in enumerate(tracked):
            run.advance("find face", i, source.n_frames)
            person.add(face)
            yield None if face is None else face.points


def _landmarks(likeness: tuple[str, Frame] | None, detector: FaceDetector) -> NDArray[np.floating[Any]]:
    """Landmarks `[5, 2]` of the source's face. Raises FaceError if it has none."""
    if likeness is None:
        raise OptionError("best_frame=find compares with a source; a template has none.", "Give a frame's number.")
    name, pixels = likeness
    points = choose_face(detector.detect([pixels])[0], "largest", name).points
    assert points is not None
    return points


def _settled(person: PersonCrop | MovingCrop, size: tuple[int, int], what: str, run: Run) -> Crop | MovingCrop:
    """The crop when all frames are seen, and a warning where it does not hold the face throughout."""
    if isinstance(person, MovingCrop):
        return person
    crop = person.crop(size)
    if outside := person.outside(crop):
        run.warn(
            f"In {outside} of {person.seen} frames of {what} the face is far from where it began (a cut, another "
            "person, or a long way), outside the crop or partly so. Cut the video, or give driver_crop=smooth."
        )
    return crop
