"""Coefficients of the 3-D face model read from pictures: points of the face, alignment, network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from thg_zoo.face3d.alignment import align
from thg_zoo.face3d.landmarks import LandmarkSearch
from thg_zoo.face3d.points import Points
from thg_zoo.face3d.reconstruction import Reconstruction, driving_coefficients
from thg_zoo.faces.detector import Picture
from thg_zoo.media.planes import to_planes
from thg_zoo.run import Run


@dataclass(frozen=True)
class CoefficientReader:
    """Reads pictures that were cut about a face."""

    search: LandmarkSearch
    network: Reconstruction
    device: torch.device

    def find(
        self, pictures: Sequence[Picture], near: Points | None, held: Points | None, what: str, run: Run
    ) -> list[Points | None]:
        """The points of the face in each picture; `held`, then those before, where none is found.

        near: see `LandmarkSearch.find_again`; what: the name of the pictures, for warnings.
        """
        found = []
        for points in self.search.find_again(pictures, near):
            held = held if points is None else points
            found.append(held)
        if any(points is None for points in found):
            run.warn(
                f"No face was found in the part of {what} that is seen: as published, one that fills it is assumed."
            )
        return found

    def measure(self, pictures: Sequence[Picture], found: Sequence[Points | None]) -> Tensor:
        """What moves the faces, `[B, 73]`, of pictures uint8 [H, W, 3] with the points of their faces.

        Raises FaceError for points that make no face; None: see `align`.
        """
        aligned = [align(picture, points) for picture, points in zip(pictures, found, strict=True)]
        places = torch.from_numpy(np.stack([alignment.params[2:] for alignment in aligned])).to(self.device)
        full = self.network(to_planes([alignment.picture for alignment in aligned], self.device))
        return driving_coefficients(full, places)
