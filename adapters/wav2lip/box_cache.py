"""Where the faces of a video file are, remembered from run to run: looking for them is most of the work.

One small file per video and way of looking, named by a hash of the video's bytes and of the way: neither the video's
name nor its pictures can be read from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import zipfile
from pathlib import Path

import numpy as np

from thg_zoo.faces.detector import Face
from thg_zoo.weights import folders
from thg_zoo.weights.verification import digest

logger = logging.getLogger(__name__)


def cache_file(video: Path, way: str) -> Path:
    """The file for `video`, looked at in a `way` that names everything on which the boxes depend."""
    name = hashlib.sha256(f"{digest(video)}\n{way}".encode()).hexdigest()
    return folders.home() / "boxes" / f"{name[:32]}.npz"


def read_faces(path: Path) -> list[list[Face]]:
    """What was remembered, picture by picture; nothing where there is no file, or none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as data:
            counts, boxes, scores, points = (data[name] for name in ("counts", "boxes", "scores", "points"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("the remembered boxes in %s cannot be read (%s); faces are looked for again", path, error)
        return []
    faces = [
        Face(box, None if np.isnan(five).any() else five, float(score))
        for box, score, five in zip(boxes, scores, points, strict=True)
    ]
    ends = np.cumsum(counts)
    return [faces[end - count : end] for count, end in zip(counts, ends, strict=True)]


def write_faces(path: Path, seen: list[list[Face]]) -> None:
    """Remember what was seen. A folder that cannot be written is no reason to stop: it is logged."""
    faces = [face for picture in seen for face in picture]
    missing = np.full((5, 2), np.nan, dtype=np.float32)
    arrays = {
        "counts": np.array([len(picture) for picture in seen], dtype=np.int64),
        "boxes": np.array([face.box for face in faces], dtype=np.float32).reshape(-1, 4),
        "scores": np.array([face.score for face in faces], dtype=np.float64),
        "points": np.array([missing if f.points is None else f.points for f in faces], dtype=np.float32).reshape(
            -1, 5, 2
        ),
    }
    partial = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        partial.replace(path)
    except OSError as error:
        logger.warning("boxes cannot be remembered in %s: %s", path.parent, error.strerror)
        with contextlib.suppress(OSError):
            partial.unlink()
