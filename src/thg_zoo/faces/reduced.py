"""Detectors on large pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from thg_zoo.faces.detector import Face, FaceDetector, Picture


class Reduced:
    """Another detector, shown pictures whose longest side is at most `size`; what it finds is scaled back."""

    def __init__(self, detector: FaceDetector, size: int) -> None:
        self._detector = detector
        self._size = size

    def detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        small = [self._reduced(image) for image in images]
        return [
            [_scaled(face, image, seen) for face in faces]
            for faces, image, seen in zip(self._detector.detect(small), images, small, strict=True)
        ]

    def _reduced(self, image: Picture) -> Picture:
        scale = self._size / max(image.shape[:2])
        if scale >= 1:
            return image
        width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _scaled(face: Face, image: Picture, seen: Picture) -> Face:
    if image.shape == seen.shape:
        return face
    scale = np.array([image.shape[1] / seen.shape[1], image.shape[0] / seen.shape[0]], dtype=np.float32)
    # Edges lie between pixels, points on their centres.
    points = None if face.points is None else (face.points + 0.5) * scale - 0.5
    return replace(face, box=face.box * np.tile(scale, 2), points=points)
