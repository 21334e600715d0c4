"""Where the face is, and its points: in the photo, and once more in what was cut from it.

Two ways: the published one (RetinaFace, then 98 points by FAN, as 68) and a lighter one (the five points of the
bundled MTCNN), for machines without the published files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from thg_zoo.errors import FaceError, OptionError
from thg_zoo.face3d.points import Points
from thg_zoo.faces.choose import FaceRule, choose_face, rule_of
from thg_zoo.faces.detector import Face, FaceDetector, Picture
from thg_zoo.faces.fan import Fan, FanNetwork, to_68
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.reduced import Reduced
from thg_zoo.faces.retinaface import RetinaFace, RetinaFaceNetwork

# Larger photos are reduced for RetinaFace: its anchors end at 512 pixels, and its memory grows with the area.
_LONGEST_SIDE = 2048


class LandmarkSearch:
    """Finds a face and its points.

    in_photo, in_cut: the detectors of the first and the second search. fan: what finds the 98 points in a box; None
    where the detector's own five points are taken.
    """

    def __init__(self, in_photo: FaceDetector, in_cut: FaceDetector, fan: Fan | None) -> None:
        self._in_photo = in_photo
        self._in_cut = in_cut
        self._fan = fan

    def find(self, photo: Picture, rule: str, what: str, otherwise: str = "") -> Points:
        """The first search: points [68, 2] or [5, 2] of the face that `rule` means, in a photo RGB uint8 [H, W, 3].

        rule: `best`, the likeliest, as published; or as in `choose_face`. what, otherwise: the photo's name and what
        else a user can do, for messages. Raises FaceError if there is no such face, OptionError for another rule.
        """
        faces = self._in_photo.detect([photo])[0]
        face = faces[0] if rule == "best" and faces else choose_face(faces, _rule(rule), what, otherwise)
        return self._points([photo], [face])[0]

    def find_again(self, pictures: Sequence[Picture], near: Points | None = None) -> list[Points | None]:
        """The second search: points of the one face in each of the cut pictures, None where none is found.

        near: where the points of the face are, moved from the photo. Of several faces it is the nearest; without,
        the likeliest, as published.
        """
        found = [_nearest(faces, near) for faces in self._in_cut.detect(pictures)]
        seen = [(picture, face) for picture, face in zip(pictures, found, strict=True) if face]
        points = iter(self._points([picture for picture, _ in seen], [face for _, face in seen]) if seen else [])
        return [next(points) if face else None for face in found]

    def _points(self, pictures: Sequence[Picture], faces: Sequence[Face]) -> list[Points]:
        if self._fan:
            return list(to_68(self._fan.points(pictures, [face.box for face in faces])))
        return [_five(face) for face in faces]


def published_search(detector: RetinaFaceNetwork, fan: FanNetwork, device: torch.device | str) -> LandmarkSearch:
    """The published networks, filled, in evaluation mode and on `device`.

    As published, the first search hands RetinaFace the colours in the wrong order, the second in the right one.
    """
    in_photo = Reduced(RetinaFace(detector, device, channels="rgb"), _LONGEST_SIDE)
    return LandmarkSearch(in_photo, RetinaFace(detector, device), Fan(fan, device))


def light_search(device: torch.device | str) -> LandmarkSearch:
    """The bundled MTCNN, which needs no download."""
    mtcnn = Mtcnn(device)
    return LandmarkSearch(mtcnn, mtcnn, None)


def choose_search(
    wanted: str, networks: Mapping[str, nn.Module], device: torch.device, *, untrained: bool, model: str
) -> LandmarkSearch:
    """What finds faces. networks: those of `model`, with the published ones as `retinaface` and `fan` if it has them.

    wanted: `published`, `mtcnn`, or `auto`: the published ones where they are there and trained. Raises OptionError
    where they are asked for and not there.
    """
    detector, fan = networks.get("retinaface"), networks.get("fan")
    has_published = isinstance(detector, RetinaFaceNetwork) and isinstance(fan, FanNetwork)
    if wanted == "mtcnn" or (wanted == "auto" and (untrained or not has_published)):
        return light_search(device)
    if not isinstance(detector, RetinaFaceNetwork) or not isinstance(fan, FanNetwork):
        raise OptionError(
            f"{model!r} has no networks for landmarks=published.", "Load a variant that has, or leave landmarks=auto."
        )
    return published_search(detector, fan, device)


def _rule(rule: str) -> FaceRule:
    return rule_of("largest" if rule == "best" else rule)


def _nearest(faces: Sequence[Face], near: Points | None) -> Face | None:
    if not faces or near is None:
        return faces[0] if faces else None
    middle = near.mean(axis=0)
    return min(faces, key=lambda face: float(np.hypot(*((face.box[:2] + face.box[2:]) / 2 - middle))))


def _five(face: Face) -> Points:
    if face.points is None:
        raise FaceError("The face detector gives no points.", "Use one that does.")
    return face.points
