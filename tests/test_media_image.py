"""Pictures in and out."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from media_files import AWKWARD_NAMES, huge_png, left_behind
from thg_zoo.errors import MediaError, MediaLimitError, OutputError
from thg_zoo.media.image import XMP_KEYWORD, read_image, write_image
from thg_zoo.media.limits import Limits
from thg_zoo.media.resize import resize_antialiased


def picture(height: int = 40, width: int = 60) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 5, columns * 4, rows + columns], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".jpg", ".webp"])
def test_write_then_read(tmp_path: Path, suffix: str) -> None:
    path = write_image(tmp_path / f"p{suffix}", picture())
    difference = np.abs(read_image(path).astype(int) - picture())
    assert difference.mean() < (2.5 if suffix in (".jpg", ".webp") else 0.001)
    assert not left_behind(tmp_path)


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_any_name(tmp_path: Path, name: str) -> None:
    path = write_image(tmp_path / f"{name}.png", picture())
    assert np.array_equal(read_image(path), picture())


def test_content_counts_not_the_suffix(tmp_path: Path) -> None:
    path = write_image(tmp_path / "p.png", picture()).rename(tmp_path / "p.jpg")
    assert np.array_equal(read_image(path), picture())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(tmp_path / "p.png", exif=exif)
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }[orientation](picture())
    assert np.array_equal(read_image(tmp_path / "p.png"), upright)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (4, 4))
    image.putalpha(Image.fromarray(np.array([[0, 51, 204, 255]] * 4, np.uint8)))
    (image.quantize(16) if mode == "P" else image.convert(mode)).save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png")[0, :, 0].tolist() == pytest.approx([255, 204, 51, 0], abs=2)


def test_sixteen_bits_palette_cmyk_and_grey(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png")[0, :, 1].tolist() == [0, 1, 128, 255]
    Image.fromarray(picture()).quantize(64).save(tmp_path / "palette.png")
    assert np.abs(read_image(tmp_path / "palette.png").astype(int) - picture()).mean() < 12
    Image.fromarray(picture()).convert("CMYK").save(tmp_path / "cmyk.tiff")
    assert np.array_equal(read_image(tmp_path / "cmyk.tiff"), picture())
    Image.fromarray(picture()[:, :, 0]).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.repeat(picture()[:, :, :1], 3, axis=2))
    Image.fromarray(picture()[:, :, 0] > 100).save(tmp_path / "bits.png")
    assert set(np.unique(read_image(tmp_path / "bits.png"))) == {0, 255}


def test_arrays_and_tensors() -> None:
    rgb = picture()
    tensor = torch.from_numpy(rgb).permute(2, 0, 1).float() / 255
    alpha = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    for source in (rgb, rgb / 255.0, rgb.astype(np.uint16) * 257, tensor, alpha, Image.fromarray(rgb)):
        read = read_image(source)
        assert read.dtype == np.uint8
        assert np.array_equal(read, rgb)
    assert read_image(rgb) is not rgb
    assert np.array_equal(read_image(rgb[:, :, 0]), np.repeat(rgb[:, :, :1], 3, axis=2))
    assert np.abs(read_image(tensor.to(torch.bfloat16)).astype(int) - rgb).max() <= 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((2, 3, 4, 3), np.uint8), "not a batch"),
        (np.zeros((3, 40, 60), np.uint8), "channels last"),
        (np.zeros((0, 5, 3), np.uint8), "H, W"),
        (np.zeros((5, 5, 3), np.int64), "int64"),
        (np.zeros((5, 5), bool), "bool"),
        (np.full((5, 5, 3), 200.0), "0..1"),
        (np.full((5, 5, 3), np.nan), "0..1"),
        (torch.zeros(40, 60, 3), "permute"),
        (torch.zeros(1, 3, 40, 60), r"batch\[0\]"),
        (object(), "path"),
        (None, "path"),
    ],
)
def test_wrong_arrays_are_refused(source: Any, words: str) -> None:
    with pytest.raises(MediaError, match=words):
        read_image(source)


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    write_image(tmp_path / "dot.png", picture(1, 1))
    assert read_image(tmp_path / "dot.png").shape == (1, 1, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif"])
def test_truncated_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"cut.*damaged"):
        read_image(path)


@pytest.mark.parametrize("side", [9000, 12_000, 30_000])
def test_huge_picture_is_refused_before_decoding(tmp_path: Path, side: int) -> None:
    with pytest.raises(MediaLimitError, match=r"huge\.png.*pixels"):
        read_image(huge_png(tmp_path / "huge.png", side))


def test_limit_applies_to_arrays_and_can_be_set() -> None:
    with pytest.raises(MediaLimitError, match="THG_ZOO_MAX_PIXELS"):
        read_image(picture(), Limits(max_pixels=2399))
    assert read_image(picture(), Limits(max_pixels=2400)).shape == (40, 60, 3)


def test_still_gif_and_first_frame_of_others(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 200)]
    for name in ("still.gif", "moving.gif", "moving.webp", "moving.png"):
        options: dict[str, Any] = {"save_all": True, "append_images": frames[1:]} if "moving" in name else {}
        frames[0].save(tmp_path / name, **options, **({"lossless": True} if "webp" in name else {}))
        assert np.abs(read_image(tmp_path / name).astype(int) - 10).max() <= 1


def test_png_text_and_xmp(tmp_path: Path) -> None:
    write_image(tmp_path / "p.png", picture(), {"Software": "test ✓"}, "<xmp/>")
    with Image.open(tmp_path / "p.png") as image:
        assert image.info["Software"] == "test ✓"
        assert image.info[XMP_KEYWORD] == "<xmp/>"


def test_unwritable_picture(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="16383"):
        write_image(tmp_path / "wide.webp", np.zeros((4, 20_000, 3), np.uint8))
    with pytest.raises(OutputError, match=r"\.xyz"):
        write_image(tmp_path / "p.xyz", picture())
    with pytest.raises(OutputError, match="does not exist"):
        write_image(tmp_path / "none" / "p.png", picture())
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match=r"folder\.png"):
        write_image(tmp_path / "folder.png", picture())
    assert not left_behind(tmp_path)


def test_a_huge_picture_is_resized_in_little_memory() -> None:
    """A side of an 8K picture: a filter as a matrix of that side squared would take half a gigabyte."""
    resize_antialiased(torch.zeros(1, 1, 600, 1), (256, 1))
    tracemalloc.start()
    try:
        resize_antialiased(torch.ones(1, 1, 7680, 1), (200, 1))
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [(20, 70), (64, 31), (7, 100), (90, 120), (40, 60)])
def test_resizing_is_that_of_scikit_image(size: tuple[int, int]) -> None:
    resize = pytest.importorskip("skimage.transform").resize
    levels = np.random.default_rng(0).random((64, 100))
    found = resize_antialiased(torch.from_numpy(levels)[None, None], size)[0, 0]
    shrinks = min(size[0] - 64, size[1] - 100) < 0
    assert found.numpy() == pytest.approx(resize(levels, size, anti_aliasing=shrinks), abs=1e-9)
