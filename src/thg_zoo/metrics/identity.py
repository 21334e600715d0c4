"""Whether it is still the same person: cosine similarity of embeddings of aligned faces (CSIM)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from thg_zoo.faces.detector import Face
from thg_zoo.faces.transforms import similarity_from_points, warp_crop
from thg_zoo.metrics.meter import Batch, Frames, Mean, Meter

# Embeddings [B, D] of aligned faces, RGB uint8 [B, 112, 112, 3].
Embedder: TypeAlias = Callable[[Frames], NDArray[np.floating]]

SIDE = 112
# Where ArcFace's training put the five points in a crop of 112 pixels.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


class Identity(Meter):
    """identity (against the source's face) and csim (frame by frame against the reference)."""

    looks_at_faces = True

    def __init__(self, embed: Embedder, source: tuple[NDArray[np.uint8], Face] | None, reference: bool) -> None:
        self.names = (*(("identity",) if source else ()), *(("csim",) if reference else ()))
        self._embed = embed
        self._source = _normalised(embed(aligned(*source)[None]))[0] if source else None
        self._likeness, self._csim = Mean(), Mean()

    def update(self, batch: Batch) -> None:
        rows = [k for k, face in enumerate(batch.faces) if face is not None and face.points is not None]
        if not rows:
            return
        found = dict(zip(rows, self._embedded(batch.frames, batch.faces, rows), strict=True))
        if self._source is not None:
            for vector in found.values():
                self._likeness.add(float(vector @ self._source))
        others = [k for k, face in enumerate(batch.reference_faces) if k in found and face is not None]
        if "csim" in self.names and others:
            vectors = self._embedded(batch.reference, batch.reference_faces, others)
            for k, vector in zip(others, vectors, strict=True):
                self._csim.add(float(vector @ found[k]))

    def result(self) -> dict[str, float]:
        means = {"identity": self._likeness, "csim": self._csim}
        return {name: means[name].value("no face was found to compare") for name in self.names}

    def _embedded(self, frames: Frames, faces: object, rows: list[int]) -> NDArray[np.floating]:
        chosen = [(frames[k], faces[k]) for k in rows]  # type: ignore[index]
        return _normalised(self._embed(np.stack([aligned(frame, face) for frame, face in chosen])))


def aligned(frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """The face as ArcFace sees it, uint8 [112, 112, 3]. The face has points."""
    assert face.points is not None
    crop: NDArray[np.uint8] = warp_crop(frame, similarity_from_points(face.points, TEMPLATE), (SIDE, SIDE), "black")
    return crop


def _normalised(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    result: NDArray[np.floating] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return result
