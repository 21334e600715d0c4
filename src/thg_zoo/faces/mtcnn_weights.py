"""Trained weights of MTCNN, read from the arrays that the wheel `mtcnn` 1.0.0 (MIT) carries.

The wheel's code needs TensorFlow and is never imported; only its three data files are read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thg_zoo.errors import CheckpointError, VerificationError, WeightsError

# The files are pickles, which can run code when read: nothing but these exact bytes is.
_SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
_REMEDY = "Install it again: pip install --force-reinstall --no-deps mtcnn==1.0.0"


def read_arrays(name: str, folder: Path | None = None) -> list[NDArray[np.float32]]:
    """The published arrays of `name` (pnet, rnet or onet), in the order of the layers.

    folder: where NAME.lz4 lies; None: inside the installed wheel. Raises WeightsError if the file is missing,
    VerificationError if it is not the published one.
    """
    import joblib

    path = (folder or _installed_folder()) / f"{name}.lz4"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"The face detector's weights {str(path)!r} cannot be read: {error}.", _REMEDY) from error
    if hashlib.sha256(content).hexdigest() != _SHA256[name]:
        raise VerificationError(f"{str(path)!r} is not the file that mtcnn 1.0.0 carries.", _REMEDY)
    arrays: list[NDArray[np.float32]] = joblib.load(io.BytesIO(content))
    return arrays


def fill(network: nn.Module, arrays: list[NDArray[np.float32]]) -> None:
    """Put `arrays` (Keras layout) into `network`, whose parameters are defined in the same order.

    Raises CheckpointError if they are not as many, or not of the shapes that the network has.
    """
    parameters = network.state_dict()
    if len(parameters) != len(arrays):
        raise CheckpointError(
            f"{type(network).__name__} has {len(parameters)} parameters, the file {len(arrays)}.", _REMEDY
        )
    state = {key: _from_keras(array, key) for key, array in zip(parameters, arrays, strict=True)}
    for key, value in state.items():
        if value.shape != parameters[key].shape:
            raise CheckpointError(
                f"{type(network).__name__} {key} is {tuple(parameters[key].shape)}, the file's {tuple(value.shape)}.",
                _REMEDY,
            )
    network.load_state_dict(state)


def _from_keras(array: NDArray[Any], key: str) -> Tensor:
    """Convolutions are [y, x, in, out], dense layers [in, out], slopes [1, 1, channels]."""
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    elif array.ndim == 3:
        array = array.reshape(-1)
    elif key in ("dense4.weight", "dense5.weight"):
        # The first dense layer reads its 3x3 map column by column, channels innermost: the published
        # networks were trained on transposed pictures.
        array = array.reshape(3, 3, -1, array.shape[1]).transpose(3, 2, 1, 0).reshape(array.shape[1], -1)
    elif array.ndim == 2:
        array = array.T
    return torch.from_numpy(np.ascontiguousarray(array))


def _installed_folder() -> Path:
    # Finding the specification of a top-level package does not run it.
    found = importlib.util.find_spec("mtcnn")
    if found is None or not found.submodule_search_locations:
        raise WeightsError("The package mtcnn, which carries the face detector's weights, is not installed.", _REMEDY)
    return Path(found.submodule_search_locations[0]) / "assets" / "weights"
