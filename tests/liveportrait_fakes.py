"""LivePortrait with networks that cost nothing, a face that is always found, and a landmark network of a few bytes."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from parity import GOLDEN
from thg_zoo.adapters.liveportrait.adapter import LivePortraitAdapter
from thg_zoo.adapters.liveportrait.perceptrons import Perceptrons, build_perceptrons
from thg_zoo.faces.detector import Face
from thg_zoo.inputs import Clip
from thg_zoo.motion import Parameters
from thg_zoo.runtime import Runtime
from thg_zoo.zoo import describe

Picture = NDArray[np.uint8]
TALKING, D1 = GOLDEN / "liveportrait-talking.npz", GOLDEN / "liveportrait-d1.npz"
KNOWN = {"source_eyes_ratio": 0.3, "source_lip_ratio": 0.2}
CPU = Runtime(torch.device("cpu"), batch_size=2)


class Fake(Perceptrons):
    """Real perceptrons, and networks that say the same of every picture; what they were shown is kept.

    A frame is the source's crop, brighter by the height of the driving key points.
    """

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(build_perceptrons())
        self.runtime = CPU
        self.seen: deque[Tensor] = deque(maxlen=4)
        self._count = 0
        self._kp = torch.rand(1, 21, 3) * 0.7 - 0.35
        self._exp = torch.rand(1, 21, 3) * 0.06 - 0.03

    def motion(self, pictures: Tensor) -> Parameters:
        self.seen.extend(pictures.clone())
        n = len(pictures)
        # Each picture moves on a little.
        step = torch.arange(self._count, self._count + n).float() % 50
        self._count += n
        return {
            "kp": self._kp.expand(n, -1, -1),
            "exp": self._exp + 0.002 * step.view(-1, 1, 1),
            **{name: (k + step) * sign for k, (name, sign) in enumerate((("pitch", 1), ("yaw", -2), ("roll", 1)))},
            "scale": torch.full((n, 1), 1.3) + 0.01 * step.view(-1, 1),
            "t": torch.full((n, 3), 0.05) + 0.01 * step.view(-1, 1),
        }

    def encode(self, pictures: Tensor) -> Tensor:
        return pictures

    def render(self, source: Tensor, kp_source: Tensor, kp_driving: Tensor, *, translated: bool = False) -> Tensor:
        assert not translated
        assert len(kp_source) in (1, len(kp_driving))
        brighter = 0.2 * kp_driving[:, :, 1].mean(dim=1).view(-1, 1, 1, 1)
        return torch.nn.functional.interpolate(source, scale_factor=2.0) + brighter


class Looking:
    """Finds one face at the same place of every picture."""

    def detect(self, images: Any) -> list[list[Face]]:
        return [[self._face(image.shape[1], image.shape[0])] for image in images]

    def _face(self, width: int, height: int) -> Face:
        size = np.array([width, height])
        points = np.array([[0.40, 0.30], [0.50, 0.29], [0.45, 0.36], [0.41, 0.41], [0.50, 0.41]]) * size
        box = np.array([0.35, 0.2, 0.55, 0.46]) * np.tile(size, 2)
        return Face(box.astype(np.float32), points.astype(np.float32), 0.99)


def fake(name: str = "liveportrait") -> LivePortraitAdapter:
    adapter = LivePortraitAdapter(describe(name), CPU)
    adapter._networks = Fake()  # type: ignore[assignment]
    adapter._detector = Looking()  # type: ignore[assignment]
    return adapter


def proto(number: int, value: bytes | int) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def onnx(outputs: dict[str, NDArray[np.float32]]) -> bytes:
    """A network that returns the same whatever it is shown."""

    def typed(name: str, shape: tuple[int, ...]) -> bytes:
        dims = b"".join(proto(1, proto(1, n)) for n in shape)
        return proto(1, name.encode()) + proto(2, proto(1, proto(1, 1) + proto(2, dims)))

    graph = proto(2, b"landmarks") + proto(11, typed("input", (1, 3, 224, 224)))
    for name, values in outputs.items():
        dims = b"".join(proto(1, n) for n in values.shape)
        constant = f"{name}.value".encode()
        graph += proto(1, proto(1, constant) + proto(2, name.encode()) + proto(4, b"Identity"))
        graph += proto(5, dims + proto(2, 1) + proto(8, constant) + proto(9, values.tobytes()))
        graph += proto(12, typed(name, values.shape))
    return proto(1, 8) + proto(7, graph) + proto(8, proto(1, b"") + proto(2, 13))


@pytest.fixture(scope="module")
def landmark_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landmark network that sees one face: an outline, with eyes and lips half open."""
    turn = np.linspace(0, 2 * np.pi, 203)
    points = np.stack([0.5 + 0.3 * np.cos(turn), 0.5 + 0.3 * np.sin(turn)], axis=1).astype(np.float32)
    for (left, right), (upper, lower), (x, y), width in (
        ((0, 12), (6, 18), (0.4, 0.4), 0.1),
        ((24, 36), (30, 42), (0.6, 0.4), 0.1),
        ((48, 66), (90, 102), (0.5, 0.65), 0.15),
    ):
        points[[left, right]] = [[x - width / 2, y], [x + width / 2, y]]
        points[[upper, lower]] = [[x, y - width / 6], [x, y + width / 6]]
    path = tmp_path_factory.mktemp("landmarks") / "landmark.onnx"
    shapes = {"a": np.zeros((1, 1), np.float32), "b": np.zeros((1, 1), np.float32)}
    path.write_bytes(onnx({**shapes, "points": points.reshape(1, 406)}))
    return path


@pytest.fixture(scope="module")
def wide(face: Picture) -> Clip:
    """Three driving frames that are not square, 20 per second."""
    frames = np.stack([np.roll(face, 3 * k, axis=1) for k in range(3)])
    return Clip(np.pad(frames, ((0, 0), (0, 0), (32, 32), (0, 0)), mode="edge"), Fraction(20))


def keypoints(portrait: Any, driver: Any, **options: Any) -> Tensor:
    return torch.cat([p["driving"] for p in portrait.animate(driver, **options).motion.batches(100)])


def different(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape != b.shape or not torch.equal(a, b)
    return bool(a is not b and a != b)


class Blinking(Looking):
    """Loses the face in dark pictures."""

    def detect(self, images: Any) -> list[list[Face]]:
        return [[self._face(i.shape[1], i.shape[0])] if i.mean() > 20 else [] for i in images]
