"""One fixed crop for a whole driving clip: where a person's face is, from first to last.

Source: the crop script of the first-order-motion reference implementation, of whose suggestions this is the one for the
person who is followed.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from thg_zoo.errors import OptionError
from thg_zoo.faces.detector import Face
from thg_zoo.faces.face_crop import Box, face_crop, overlap, union

# Least overlap with the first box, as published: what overlaps less is another person, or another shot.
_SAME_PLACE = 0.25
# A face of which less is in the crop is not seen whole.
_WHOLE = 0.9


class PersonCrop:
    """Grows with every frame; of faces elsewhere four numbers are kept. first: the first frame with a face, None as
    long as there was none.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.seen = 0
        self._initial: Box | None = None
        self._extent: Box | None = None
        self._elsewhere = array("f")

    def add(self, face: Face | None) -> None:
        """The next frame's face."""
        if face is not None:
            x1, y1, x2, y2 = (float(v) for v in face.box)
            self._add_box((x1, y1, x2, y2))
        self.seen += 1

    def _add_box(self, box: Box) -> None:
        if self._initial is None or self._extent is None:
            self.first, self._initial, self._extent = self.seen, box, box
        elif overlap(box, self._initial) > _SAME_PLACE:
            self._extent = union(self._extent, box)
        else:
            self._elsewhere.extend(box)

    def crop(self, frame: tuple[int, int]) -> tuple[int, int, int, int]:
        """(x, y, width, height) within frames of (height, width), some of which have shown the face."""
        assert self._extent is not None
        return face_crop(self._extent, frame)

    def outside(self, crop: tuple[int, int, int, int]) -> int:
        """How many frames show the face outside the crop (x, y, width, height), or reaching out of it."""
        x, y, width, height = crop
        boxes = [self._elsewhere[i : i + 4] for i in range(0, len(self._elsewhere), 4)]
        return sum(_shared(box, (x, y, x + width, y + height)) < _WHOLE for box in boxes)


def _shared(box: Sequence[float], crop: Box) -> float:
    """How much of a box's area lies in the crop."""
    left, top, right, bottom = box
    width = max(0.0, min(right, crop[2]) - max(left, crop[0]))
    height = max(0.0, min(bottom, crop[3]) - max(top, crop[1]))
    return width * height / ((right - left) * (bottom - top))


def given_crop(box: tuple[int, int, int, int], frame: tuple[int, int], what: str) -> tuple[int, int, int, int]:
    """(x, y, width, height) of a box (left, top, right, bottom) that a person gave.

    Raises OptionError unless it lies within the frame of (height, width) and has an area.
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= frame[1] and 0 <= top < bottom <= frame[0]):
        raise OptionError(
            f"The crop box {box} does not lie within {what}, which is {frame[1]} x {frame[0]} pixels.",
            "Give left, top, right, bottom in pixels.",
        )
    return left, top, right - left, bottom - top
