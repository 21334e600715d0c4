"""MTCNN: its networks against plain numpy in the published layout, its detections on a real face."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from thg_zoo.errors import CheckpointError, MediaError, VerificationError, WeightsError
from thg_zoo.faces.boxes import overlap, squared, suppress
from thg_zoo.faces.detector import Face
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.mtcnn_networks import ONet, PNet, RNet
from thg_zoo.faces.mtcnn_weights import fill, read_arrays
from thg_zoo.faces.pyramid import pack, plan, shrink
from thg_zoo.faces.upright import AnyTurn
from thg_zoo.media.image import read_image

Arrays = list[np.ndarray]


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """[H, W, in] and [y, x, in, out] -> [h, w, out], without padding."""
    windows = sliding_window_view(x, weight.shape[:2], (0, 1))
    return np.einsum("hwcyx,yxco->hwo", windows, weight.astype(np.float64), optimize=True) + bias


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, x * slope)


def pool(x: np.ndarray, kernel: int, same: bool) -> np.ndarray:
    """Stride 2; `same` pads at the end so that no value is left out, as TensorFlow does."""
    count = [-(-n // 2) if same else (n - kernel) // 2 + 1 for n in x.shape[:2]]
    out = np.empty((*count, x.shape[2]))
    for y, z in np.ndindex(*count):
        out[y, z] = x[2 * y : 2 * y + kernel, 2 * z : 2 * z + kernel].max((0, 1))
    return out


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy_pnet(x: np.ndarray, a: Arrays) -> tuple[np.ndarray, np.ndarray]:
    x = pool(prelu(conv((x - 127.5) / 128, a[0], a[1]), a[2]), 2, same=True)
    x = prelu(conv(prelu(conv(x, a[3], a[4]), a[5]), a[6], a[7]), a[8])
    return softmax(conv(x, a[11], a[12]))[..., 1], conv(x, a[9], a[10])


def numpy_rnet(x: np.ndarray, a: Arrays) -> list[np.ndarray]:
    x = pool(prelu(conv((x - 127.5) / 128, a[0], a[1]), a[2]), 3, same=True)
    x = pool(prelu(conv(x, a[3], a[4]), a[5]), 3, same=False)
    x = prelu(conv(x, a[6], a[7]), a[8]).transpose(1, 0, 2).reshape(-1)
    x = prelu(x @ a[9] + a[10], a[11])
    return [softmax(x @ a[14] + a[15])[1], x @ a[12] + a[13]]


def numpy_onet(x: np.ndarray, a: Arrays) -> list[np.ndarray]:
    x = pool(prelu(conv((x - 127.5) / 128, a[0], a[1]), a[2]), 3, same=True)
    x = pool(prelu(conv(x, a[3], a[4]), a[5]), 3, same=False)
    x = pool(prelu(conv(x, a[6], a[7]), a[8]), 2, same=True)
    x = prelu(conv(x, a[9], a[10]), a[11]).transpose(1, 0, 2).reshape(-1)
    x = prelu(x @ a[12] + a[13], a[14])
    return [softmax(x @ a[19] + a[20])[1], x @ a[15] + a[16], x @ a[17] + a[18]]


@pytest.fixture(scope="module")
def astronaut(face_path: Path) -> np.ndarray:
    return read_image(face_path)


@pytest.fixture(scope="module")
def detector() -> Mtcnn:
    return Mtcnn()


def shrunk(picture: np.ndarray, box: tuple[int, int, int, int], size: int) -> torch.Tensor:
    x1, y1, x2, y2 = box
    part = torch.from_numpy(picture[y1:y2, x1:x2].copy()).permute(2, 0, 1)[None].float()
    return torch.nn.functional.interpolate(part, (size, size), mode="area")


@pytest.mark.parametrize("size", [(40, 51), (37, 64)])
def test_pnet_agrees_with_numpy(astronaut: np.ndarray, size: tuple[int, int]) -> None:
    network, arrays = PNet(), read_arrays("pnet")
    fill(network, arrays)
    picture = astronaut[60 : 60 + size[0] * 3 : 3, 170 : 170 + size[1] * 3 : 3]
    with torch.inference_mode():
        scores, offsets = network(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float())
    expected = numpy_pnet(picture.astype(np.float64), arrays)
    np.testing.assert_allclose(scores[0].numpy(), expected[0], atol=2e-6)
    np.testing.assert_allclose(offsets[0].permute(1, 2, 0).numpy(), expected[1], atol=2e-6)


@pytest.mark.parametrize(("kind", "name", "reference"), [(RNet, "rnet", numpy_rnet), (ONet, "onet", numpy_onet)])
def test_rnet_and_onet_agree_with_numpy(astronaut: np.ndarray, kind: type, name: str, reference: object) -> None:
    network, arrays = kind(), read_arrays(name)
    fill(network, arrays)
    for box, is_face in (((165, 60, 275, 170), True), ((300, 300, 400, 400), False)):
        crop = shrunk(astronaut, box, kind.size)
        with torch.inference_mode():
            outputs = network(crop)
        expected = reference(crop[0].permute(1, 2, 0).double().numpy(), arrays)
        assert (expected[0] > 0.9) == is_face
        for mine, theirs in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(mine[0].numpy(), theirs, atol=2e-6)


def test_arrays_of_another_network_are_refused() -> None:
    with pytest.raises(CheckpointError, match="parameters"):
        fill(PNet(), read_arrays("rnet"))
    arrays = read_arrays("pnet")
    arrays[0] = arrays[0][:, :, :, :5]
    with pytest.raises(CheckpointError, match=r"conv1\.weight"):
        fill(PNet(), arrays)


def test_only_the_published_files_are_unpickled(tmp_path: Path) -> None:
    (tmp_path / "pnet.lz4").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(VerificationError, match=r"pnet\.lz4"):
        read_arrays("pnet", tmp_path)
    with pytest.raises(WeightsError, match=r"onet\.lz4"):
        read_arrays("onet", tmp_path)


def test_the_code_of_the_package_is_not_imported(detector: Mtcnn) -> None:
    assert detector.thresholds
    assert "mtcnn" not in sys.modules


def test_the_astronaut_is_found(detector: Mtcnn, astronaut: np.ndarray) -> None:
    (faces,) = detector.detect([astronaut])
    (face,) = faces
    assert face.score > 0.99
    assert face.points is not None
    x1, y1, x2, y2 = face.box
    assert 165 < x1 < 195
    assert 50 < y1 < 80
    assert 255 < x2 < 285
    assert 160 < y2 < 190
    # Marked by hand in the picture.
    marked = [[203, 101], [247, 103], [224, 128], [202, 139], [245, 141]]
    assert np.abs(face.points - marked).max() < 5


def same(a: list[Face], b: list[Face]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x.box, y.box)
        and x.points is not None
        and y.points is not None
        and np.array_equal(x.points, y.points)
        and x.score == y.score
        for x, y in zip(a, b, strict=True)
    )


def pictures(astronaut: np.ndarray) -> list[np.ndarray]:
    half = np.ascontiguousarray(astronaut[::2, ::2])
    return [half, half[:, ::-1].copy(), half // 2, np.zeros_like(half), np.roll(half, 9, 0), astronaut[:280], half]


def test_batches_and_single_pictures_agree_to_the_bit(detector: Mtcnn, astronaut: np.ndarray) -> None:
    batch = pictures(astronaut)
    together = detector.detect(batch)
    assert [len(faces) for faces in together] == [1, 1, 1, 0, 1, 1, 1]
    for picture, faces in zip(batch, together, strict=True):
        assert same(detector.detect([picture])[0], faces)
    for faces, mirrored in zip(together, reversed(detector.detect(batch[::-1])), strict=True):
        assert same(faces, mirrored)
    stacked = detector.detect(np.stack(batch[:5]))
    assert all(same(a, b) for a, b in zip(stacked, together, strict=False))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(detector: Mtcnn, astronaut: np.ndarray) -> None:
    batch = pictures(astronaut)
    on_cuda = Mtcnn("cuda")
    together = on_cuda.detect(batch)
    for mine, theirs in zip(together, detector.detect(batch), strict=True):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert np.abs(a.box - b.box).max() < 0.5
            assert a.points is not None
            assert b.points is not None
            assert np.abs(a.points - b.points).max() < 0.5
    for picture, faces in zip(batch, together, strict=True):
        assert same(on_cuda.detect([picture])[0], faces)


def test_large_pictures_give_the_same_face(detector: Mtcnn, astronaut: np.ndarray) -> None:
    large = np.repeat(np.repeat(astronaut, 5, 0), 5, 1)
    (face,), (small,) = detector.detect([large])[0], detector.detect([astronaut])[0]
    assert np.abs(face.box / 5 - small.box).max() < 2
    assert face.points is not None
    assert small.points is not None
    assert np.abs((face.points + 0.5) / 5 - 0.5 - small.points).max() < 1.5


def test_two_faces(detector: Mtcnn, astronaut: np.ndarray) -> None:
    head = astronaut[20:220, 120:320]
    faces = detector.detect([np.concatenate([head, head[:, ::-1]], axis=1)])[0]
    assert sorted(int(face.box[0] // 200) for face in faces) == [0, 1]
    assert faces[0].score >= faces[1].score


def test_boxes_stay_inside_the_picture(detector: Mtcnn, astronaut: np.ndarray) -> None:
    cut = np.ascontiguousarray(astronaut[75:180, 170:270])
    faces = detector.detect([cut])[0]
    assert faces
    for face in faces:
        assert (face.box >= 0).all()
        assert (face.box <= [100, 105, 100, 105]).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (11, 300, 3), (19, 19, 3), (21, 21, 3), (24, 2000, 3)])
def test_pictures_too_small_for_a_face_have_none(detector: Mtcnn, shape: tuple[int, ...]) -> None:
    assert detector.detect([np.full(shape, 90, np.uint8)]) == [[]]
    assert detector.detect([]) == []


@pytest.mark.parametrize(
    "array", [np.zeros((20, 20), np.uint8), np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20, 3))]
)
def test_arrays_that_are_no_picture_are_refused(detector: Mtcnn, array: np.ndarray) -> None:
    with pytest.raises(MediaError, match="RGB uint8"):
        detector.detect([array])


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_turned_picture_is_searched_upright(detector: Mtcnn, astronaut: np.ndarray, turns: int) -> None:
    half = np.ascontiguousarray(astronaut[:240:2, ::2])
    upright = detector.detect([half])[0][0]
    (face,) = AnyTurn(detector).detect([np.ascontiguousarray(np.rot90(half, -turns))])[0]
    assert upright.points is not None
    assert face.points is not None
    # The same pixels are searched, so turning the result like the picture has to give the same face.
    edges, points, (height, width) = upright.box.reshape(2, 2), upright.points, half.shape[:2]
    for _ in range(turns):
        edges = np.stack([height - edges[:, 1], edges[:, 0]], 1)
        points = np.stack([height - 1 - points[:, 1], points[:, 0]], 1)
        height, width = width, height
    np.testing.assert_allclose(face.box, np.concatenate([edges.min(0), edges.max(0)]), atol=1e-3)
    np.testing.assert_allclose(face.points, points, atol=1e-3)


@pytest.mark.parametrize("size", [(240, 240), (135, 240), (301, 77), (12, 500)])
def test_the_canvas_holds_every_level_apart(size: tuple[int, int]) -> None:
    layout = plan(size, 0.9 if size[0] > 12 else 1.0, 0.709, 12, 2)
    cover = np.zeros(layout.canvas, int)
    for (h, w), (y, x) in zip(layout.sizes, layout.corners, strict=True):
        assert x % 2 == 0
        assert y % 2 == 0
        cover[y : y + h, x : x + w] += 1
    assert cover.max() == 1
    assert cover.sum() == sum(h * w for h, w in layout.sizes)
    cells = [((h - 12) // 2 + 1) * ((w - 12) // 2 + 1) for h, w in layout.sizes]
    assert [int((layout.level_of == i).sum()) for i in range(len(cells))] == cells
    picture = torch.randint(0, 255, (2, 3, *size), dtype=torch.uint8)
    levels = shrink(picture, layout)
    canvas = pack(levels, layout)
    for level, (y, x) in zip(levels, layout.corners, strict=True):
        assert torch.equal(canvas[:, :, y : y + level.shape[2], x : x + level.shape[3]], level)


def test_suppression_is_greedy_and_stable() -> None:
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10], [50, 50, 60, 60], [50, 50, 60, 60]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.5, 0.5], np.float32)
    # The second goes for the first; the third overlaps only the second, which is gone.
    assert suppress(boxes, scores, 0.4).tolist() == [0, 2, 3]
    assert suppress(boxes, scores, 0.99).tolist() == [0, 1, 2, 3]
    assert suppress(boxes[:0], scores[:0], 0.5).tolist() == []


def test_overlaps() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [2, 2, 4, 4], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(overlap(boxes[0], boxes), [1, 1 / 3, 0.04, 0], rtol=1e-6)
    np.testing.assert_allclose(overlap(boxes[0], boxes, "smaller"), [1, 0.5, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(squared(np.array([[0, 0, 10, 4]], np.float32)), [[0, -3, 10, 7]])
