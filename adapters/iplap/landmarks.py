"""Where the 131 points of a face are: MediaPipe's mesh as published, or a mean face laid on five detected points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from thg_zoo.adapters.iplap.mean_face import placed
from thg_zoo.adapters.iplap.options import IpLapOptions
from thg_zoo.adapters.iplap.points import ORDER
from thg_zoo.adapters.iplap.processing import Points
from thg_zoo.errors import DownloadError
from thg_zoo.faces.choose import rule_of
from thg_zoo.faces.detector import Face
from thg_zoo.faces.mesh import INSTALL, FaceMesh, mediapipe_installed, require_mediapipe
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.track import track_faces
from thg_zoo.faces.transforms import crop_box
from thg_zoo.inputs import Frame
from thg_zoo.run import Run
from thg_zoo.runtime import Runtime
from thg_zoo.spec import WeightFile
from thg_zoo.weights import WeightRecord, fetch

MESH_FILE = "face_landmarker.task"
# Where one of several people is meant, the mesh looks at the face's box with so much around it.
_AROUND = 0.5
_BATCH = {"cpu": 4, "cuda": 16, "mps": 8}


def mesh_path(options: IpLapOptions, file: WeightFile, weights: Sequence[WeightRecord], run: Run) -> Path | None:
    """Where the mesh's bundle is, fetched if need be; None for the mean face.

    weights: what the networks were filled with: for random ones `auto` fetches nothing. Raises UsageError without
    mediapipe, DownloadError.
    """
    if options.landmarks == "template":
        return None
    automatic = options.landmarks == "auto"
    if automatic and not mediapipe_installed():
        run.warn(
            f"MediaPipe is not installed ({INSTALL}): a mean face stands in for the landmarks, so that mouths are less "
            "exact."
        )
        return None
    require_mediapipe()
    if options.landmark_model is not None:
        return Path(options.landmark_model)
    try:
        if automatic and any(record.source == "random" for record in weights):
            return None
        return fetch(file).path
    except DownloadError as error:
        if not automatic:
            raise
        run.warn(f"{error.message} A mean face stands in for the landmarks.")
        return None


def find_points(
    frames: Iterator[Frame], mesh: Path | None, options: IpLapOptions, runtime: Runtime
) -> Iterator[tuple[Frame, Points | None]]:
    """Every frame with its points `[131, 2]` in pixels, if it shows the face.

    mesh: the bundle, None for the mean face.
    """
    if mesh is None:
        for frame, face in _followed(frames, options, runtime, window=5):
            yield frame, None if face is None or face.points is None else placed(face.points)
        return
    with FaceMesh(mesh) as network:
        if options.face == "best":
            for frame in frames:
                yield frame, _ordered(network.find(frame))
            return
        for frame, face in _followed(frames, options, runtime, window=1):
            yield frame, None if face is None else _look_near(network, frame, face)


def _followed(
    frames: Iterator[Frame], options: IpLapOptions, runtime: Runtime, window: int
) -> Iterator[tuple[Frame, Face | None]]:
    """One person's face, see `track_faces`."""
    rule = rule_of("largest" if options.face == "best" else options.face)
    batch = _BATCH[runtime.device.type]
    return track_faces(frames, Mtcnn(runtime.device), rule, "pass", window=window, batch=batch)


def _look_near(network: FaceMesh, frame: Frame, face: Face) -> Points | None:
    x1, y1, x2, y2 = np.clip(crop_box(face.box, _AROUND), 0, np.tile(frame.shape[1::-1], 2)).astype(int)
    found = _ordered(network.find(frame[y1:y2, x1:x2]))
    return None if found is None else found + np.array([x1, y1], np.float32)


def _ordered(mesh: Points | None) -> Points | None:
    return None if mesh is None else mesh[list(ORDER)]
