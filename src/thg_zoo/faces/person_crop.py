"""One fixed crop for a whole driving clip: where a person's face is, from first to last.

Source: the crop script of the first-order-motion reference implementation, of whose suggestions this is the one for the
person who is followed.
"""

from __future__ import annotations

from thg_zoo.errors import FaceError, OptionError
from thg_zoo.faces.detector import Face
from thg_zoo.faces.face_crop import Box, face_crop, overlap, union

# Least overlap with the first box, as published: what overlaps less is another person, or another shot.
_SAME_PLACE = 0.25


class PersonCrop:
    """Grows with every frame. first: the first frame with a face, None as long as there was none; strayed: how many
    frames showed the face elsewhere, so that it is not in the crop.
    """

    def __init__(self) -> None:
        self.first: int | None = None
        self.strayed = 0
        self.seen = 0
        self._initial: Box | None = None
        self._extent: Box | None = None

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
            self.strayed += 1

    def crop(self, frame: tuple[int, int], what: str) -> tuple[int, int, int, int]:
        """(x, y, width, height) within frames of (height, width). Raises FaceError if no frame showed a face."""
        if self._extent is None:
            raise FaceError(f"No face was found in {what}.", "Give another driver, driver_crop=none, or a crop box.")
        return face_crop(self._extent, frame)


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
