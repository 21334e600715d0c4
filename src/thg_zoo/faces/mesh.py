"""MediaPipe's face mesh: 478 points of a face (468 of its surface, 10 of the irises).

Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019; Grishchenko et al.,
"Attention Mesh", 2020. It runs through the package `mediapipe` (its tasks, version 0.10.30 or later), which is optional
(`thg-zoo[mesh]`), from the published bundle face_landmarker.task.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from thg_zoo.errors import CheckpointError, UsageError
from thg_zoo.faces.detector import Picture

MESH_POINTS = 478
INSTALL = "pip install 'thg-zoo[mesh]'"
"""What a user without mediapipe has to do."""


def mediapipe_installed() -> bool:
    """Whether the mesh can be found here."""
    return importlib.util.find_spec("mediapipe") is not None


def require_mediapipe() -> None:
    """Raises UsageError, naming the extra, where mediapipe is missing."""
    if not mediapipe_installed():
        raise UsageError("MediaPipe's face mesh needs the package mediapipe.", f"{INSTALL}.")


class FaceMesh:
    """The mesh of one face per picture; pictures are independent. To be closed, or used in a `with` statement.

    path: face_landmarker.task. Raises UsageError without mediapipe, CheckpointError for another file.
    """

    def __init__(self, path: str | Path) -> None:
        require_mediapipe()
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        if not Path(path).is_file():
            raise CheckpointError(f"There is no face mesh {str(path)!r}.", "Check the path.")
        options = vision.FaceLandmarkerOptions(BaseOptions(model_asset_path=str(path)), num_faces=1)
        try:
            self._landmarker = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{str(path)!r} is not MediaPipe's face mesh.", "Use the published face_landmarker.task."
            ) from error
        self._image = mediapipe.Image
        self._format = mediapipe.ImageFormat.SRGB

    def find(self, picture: Picture) -> NDArray[np.float32] | None:
        """Points `[478, 2]` in pixels (edges: 0 .. width) of an RGB picture uint8 [H, W, 3], or None without a face.

        The detector inside is made for faces that fill a fifth of the picture or more.
        """
        image = self._image(image_format=self._format, data=np.ascontiguousarray(picture))
        found = self._landmarker.detect(image).face_landmarks
        if not found:
            return None
        size = picture.shape[1], picture.shape[0]
        return np.array([(point.x, point.y) for point in found[0]], np.float32) * np.array(size, np.float32)

    def close(self) -> None:
        self._landmarker.close()

    def __enter__(self) -> FaceMesh:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
