"""Key points with their local motion, as the first-order-motion family passes them between networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class KeyPoints:
    """value `[B, K, 2 or 3]` in -1..1 (x, y, z); jacobian `[B, K, 2, 2]`, or None where the model has none."""

    value: Tensor
    jacobian: Tensor | None = None

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, frames: slice) -> KeyPoints:
        return KeyPoints(self.value[frames], None if self.jacobian is None else self.jacobian[frames])
