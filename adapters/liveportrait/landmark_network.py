"""The authors' landmark network: 203 points of a face. It is published as ONNX alone.

It runs through onnxruntime, which is optional (`thg-zoo[landmarks]`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from thg_zoo.adapters.liveportrait.crop import Points, crop_matrix, cut, face_square
from thg_zoo.adapters.liveportrait.options import LivePortraitOptions
from thg_zoo.errors import CheckpointError, DownloadError, UsageError
from thg_zoo.faces.transforms import apply, invert
from thg_zoo.inputs import Frame
from thg_zoo.run import Run
from thg_zoo.spec import WeightFile
from thg_zoo.weights import WeightRecord, fetch

LandmarkNetwork: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Crops `[1, 3, 224, 224]` in 0..1 to 203 points `[1, 406]`, x and y in parts of the crop's side."""

LANDMARK_FILE = "liveportrait/landmark.onnx"
INSTALL = "pip install 'thg-zoo[landmarks]'"
"""What a user without onnxruntime has to do."""
_SIDE = 224
_SCALE, _VY_RATIO = 1.5, -0.1


def onnxruntime_installed() -> bool:
    """Whether the landmark network can run here."""
    return importlib.util.find_spec("onnxruntime") is not None


def require_onnxruntime() -> None:
    """Raises UsageError, naming the extra, where onnxruntime is missing."""
    if not onnxruntime_installed():
        raise UsageError("203 landmarks need onnxruntime, which is not installed.", f"{INSTALL}.")


def read_landmark_network(path: str | Path) -> LandmarkNetwork:
    """The published landmark.onnx, on the CPU. Raises UsageError without onnxruntime, CheckpointError."""
    require_onnxruntime()
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as failures

    if not Path(path).is_file():
        raise CheckpointError(f"There is no landmark network {str(path)!r}.", "Check the path.")
    # onnxruntime has no common base class of its errors.
    kinds = tuple(kind for kind in vars(failures).values() if isinstance(kind, type) and issubclass(kind, Exception))
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except kinds as error:
        raise CheckpointError(
            f"{str(path)!r} is not a landmark network.", "Use the published landmark.onnx."
        ) from error
    outputs = [output.shape for output in session.get_outputs()]
    if len(outputs) != 3 or outputs[2][-1] != 2 * 203:
        raise CheckpointError(f"{str(path)!r} does not return 203 points.", "Use the published landmark.onnx.")
    name = session.get_inputs()[0].name

    def run(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        points: NDArray[np.float32] = session.run(None, {name: crops})[2]
        return points

    return run


def refine(network: LandmarkNetwork, frame: Frame, rough: Points) -> NDArray[np.float32]:
    """203 points `[203, 2]` in pixels of the frame, near rough ones of any known set."""
    centre, side, angle = face_square(rough, _SCALE, 0.0, _VY_RATIO)
    matrix = crop_matrix(centre, side, angle, _SIDE)
    crop = cut(frame, matrix, _SIDE).astype(np.float32) / 255
    found = network(crop.transpose(2, 0, 1)[None]).reshape(-1, 2) * _SIDE
    return apply(invert(matrix), found).astype(np.float32)


def find_in_whole(network: LandmarkNetwork, frame: Frame) -> NDArray[np.float32]:
    """203 points `[203, 2]` of a frame that a face fills, as published scaled by its longer side along both axes."""
    seen = np.asarray(cv2.resize(frame, (_SIDE, _SIDE)), np.float32) / 255
    points = network(seen.transpose(2, 0, 1)[None]).reshape(-1, 2) * max(frame.shape[:2])
    scaled: NDArray[np.float32] = points.astype(np.float32)
    return scaled


def landmark_path(
    options: LivePortraitOptions, file: WeightFile | None, weights: Sequence[WeightRecord], run: Run
) -> Path | None:
    """Where the network is that the options ask for, fetched if need be; None for five points.

    file: its record in the card. weights: what the other networks were filled with: where these are random or the
    user's own, `auto` fetches nothing. Raises UsageError without onnxruntime, DownloadError.
    """
    if options.landmarks == "5":
        return None
    if options.landmark_model is not None:
        return Path(options.landmark_model)
    published = bool(weights) and all(r.verified == "sha256" and r.source != "local" for r in weights)
    automatic = options.landmarks == "auto"
    if automatic and not (onnxruntime_installed() and published):
        return None
    require_onnxruntime()
    assert file is not None
    try:
        return fetch(file).path
    except DownloadError as error:
        if not automatic:
            raise
        run.warn(f"{error.message} The face is found by five points instead of 203.")
        return None
