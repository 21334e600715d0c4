"""Faces in pictures that lie on their side or stand on their head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thg_zoo.faces.detector import Face, FaceDetector, Picture

# Upright faces score less in few pictures, upside-down ones (which MTCNN finds at times) more in few.
_SURE = 0.95


class AnyTurn:
    """A `FaceDetector` that also looks at a picture turned by 90, 180 and 270 degrees, where it is not sure upright.

    It is sure if a face scores 0.95 or more; else the faces of the turn with the best score are taken. Such
    pictures cost four times as much. Meant for single pictures, whose orientation tag may be lost; not for video,
    where a person may be absent for long.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector

    def detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        """The faces of each picture, by falling score, in the picture's own pixels; points as if it were upright."""
        results = self._detector.detect(images)
        unsure = [i for i, faces in enumerate(results) if _best(faces) < _SURE]
        for turns in (1, 2, 3):
            turned = self._detector.detect([np.ascontiguousarray(np.rot90(images[i], turns)) for i in unsure])
            for i, faces in zip(unsure, turned, strict=True):
                if _best(faces) > _best(results[i]):
                    results[i] = [_turned_back(face, turns, images[i].shape) for face in faces]
        return results


def quarter_turns(face: Face) -> int:
    """By how many quarter turns counter-clockwise (as of `numpy.rot90`) a picture shows this face upright: 0 to 3."""
    if face.points is None:
        return 0
    x, y = face.points[:2].mean(axis=0) - face.points[3:].mean(axis=0)
    if abs(y) >= abs(x):
        return 0 if y <= 0 else 2
    return 1 if x > 0 else 3


def _best(faces: list[Face]) -> float:
    return faces[0].score if faces else 0.0


def _turned_back(face: Face, turns: int, shape: tuple[int, ...]) -> Face:
    """From the picture after `turns` quarter turns (counter-clockwise) to the picture of `shape`."""
    height, width = shape[:2]
    # (x, y) of the turned picture is at back @ (x, y) + shift, in edges; the centre of a pixel lies half a pixel in.
    back, shift = {
        1: (np.array([[0, -1], [1, 0]]), np.array([width, 0])),
        2: (np.array([[-1, 0], [0, -1]]), np.array([width, height])),
        3: (np.array([[0, 1], [-1, 0]]), np.array([0, height])),
    }[turns]
    edges = face.box.reshape(2, 2) @ back.T + shift
    box = np.concatenate([edges.min(axis=0), edges.max(axis=0)]).astype(np.float32)
    points = None if face.points is None else ((face.points + 0.5) @ back.T + shift - 0.5).astype(np.float32)
    return Face(box, points, face.score)
