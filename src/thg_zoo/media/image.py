"""Pictures: files, PIL images, arrays and tensors in, RGB uint8 out."""

from __future__ import annotations

import contextlib
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from thg_zoo.errors import MediaError, MediaLimitError, OutputError
from thg_zoo.media.limits import Limits
from thg_zoo.media.outputs import ensure_parent, failed_write, temporary_beside
from thg_zoo.media.sniff import picture_format, read_head, refuse_by_content

logger = logging.getLogger(__name__)

Picture = NDArray[np.uint8]

# What Pillow's decoders raise on damaged data: there is no common base class.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, struct.error, zlib.error)
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_SIDEWAYS = (5, 6, 7, 8)
_FLOAT_SLACK = 1e-3
XMP_KEYWORD = "XML:com.adobe.xmp"

# Options of Pillow's encoders by suffix; quality 95 is the highest that JPEG tables were made for.
_WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 3}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95, "method": 4}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {"compression": "tiff_lzw"}),
    ".tiff": ("TIFF", {"compression": "tiff_lzw"}),
}


def read_image(source: str | Path | Image.Image | NDArray[Any] | torch.Tensor, limits: Limits | None = None) -> Picture:
    """Any picture as RGB uint8 [H, W, 3], upright (EXIF), transparency laid on white.

    `source`: a file (png, jpg, webp, bmp, tiff, first frame of a gif), a PIL image, a numpy array [H, W], [H, W, 1],
    [H, W, 3] or [H, W, 4] (uint8, uint16 or float in 0..1), or a torch tensor [1, H, W], [3, H, W] or [4, H, W]
    (uint8 or float in 0..1). Sixteen-bit values are rounded to eight. Colour profiles are not applied.

    Raises MediaError for what is no such picture or is damaged, MediaLimitError for one above `limits`.
    """
    limits = limits or Limits.from_environment()
    if isinstance(source, (str, Path)):
        return _read_file(Path(source), limits)
    if isinstance(source, Image.Image):
        limits.check_size("The picture", *source.size)
        return _decoded(source, "The picture")
    if isinstance(source, torch.Tensor):
        return _from_tensor(source, limits)
    if isinstance(source, np.ndarray):
        return _from_array(source, limits)
    raise MediaError(
        f"A picture was expected, not {type(source).__name__}.",
        "Pass a path, a PIL image, a numpy array [H, W, 3] or a torch tensor [3, H, W].",
    )


def write_image(
    path: str | Path, array: Picture, text: Mapping[str, str] | None = None, xmp: str | None = None
) -> Path:
    """Write RGB uint8 [H, W, 3] in the format of the suffix (png, jpg, webp, bmp, tiff); complete or not at all.

    `text` and `xmp` are stored in png files. Raises OutputError for an unknown suffix, a missing folder or a full
    disk.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise OutputError(
            f"{path}: pictures of the kind {path.suffix or '(no suffix)'} cannot be written.",
            f"Use one of {', '.join(_WRITERS)}.",
        )
    ensure_parent(path)
    temporary = temporary_beside(path, path.suffix.lower())
    try:
        encode_image(temporary, array, text, xmp)
        temporary.replace(path)
    except OSError as error:
        raise failed_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def encode_image(path: Path, array: Picture, text: Mapping[str, str] | None, xmp: str | None) -> None:
    """Encode straight to `path` (no temporary file). Raises OSError."""
    name, options = _WRITERS[path.suffix.lower()]
    if name == "PNG" and (text or xmp):
        chunks = PngImagePlugin.PngInfo()
        for key, value in (text or {}).items():
            chunks.add_itxt(key, value)
        if xmp:
            chunks.add_itxt(XMP_KEYWORD, xmp)
        options = {**options, "pnginfo": chunks}
    try:
        Image.fromarray(array).save(path, name, **options)
    except ValueError as error:  # WebP has a largest size
        raise OSError(str(error)) from error


@contextlib.contextmanager
def open_picture(path: Path, limits: Limits) -> Iterator[Image.Image]:
    """The picture in `path`, its size checked, nothing decoded yet.

    Raises MediaError, MediaLimitError; damage met inside the `with` block is reported as MediaError too.
    """
    head = read_head(path)
    refuse_by_content(path, head)
    kind = picture_format(head)
    if kind is None:
        raise MediaError(f"{path} is not a picture.", "Use png, jpg, webp, bmp or tiff.")
    try:
        with _open_bounded(path, kind, limits) as picture:
            limits.check_size(str(path), *picture.size)
            yield picture
    except _DAMAGE as error:
        raise MediaError(
            f"{path} is a damaged {kind} picture: {_reason(error, path)}.", "Copy, download or export it again."
        ) from error


def displayed_size(picture: Image.Image) -> tuple[int, int]:
    """(width, height) after the rotation that EXIF asks for."""
    width, height = picture.size
    if picture.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS:
        return height, width
    return width, height


def _open_bounded(path: Path, kind: str, limits: Limits) -> Image.Image:
    """Pillow's own guard against huge pictures, reported like ours; what it only warns of is left to our limit."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path, formats=[kind])
    except Image.DecompressionBombError as error:
        counted = re.search(r"\d+", str(error))
        raise MediaLimitError(
            f"{path} has {counted[0] if counted else 'too many'} pixels; the limit is {limits.max_pixels}.",
            "Make the picture smaller.",
        ) from error


def _reason(error: BaseException, path: Path) -> str:
    text = str(error).replace(repr(str(path)), "it").rstrip(". ")
    return text or type(error).__name__


def _read_file(path: Path, limits: Limits) -> Picture:
    with open_picture(path, limits) as picture:
        if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
            logger.info("%s has several frames; the first is used", path)
        return _decoded(picture, str(path))


def _decoded(picture: Image.Image, what: str) -> Picture:
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _SIXTEEN_BIT_MODES:
        values = np.asarray(picture).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise MediaError(f"{what} has grey values beyond 16 bits.", "Scale it to 0..255 and save it as 8 bits.")
        return _three_channels(_from_sixteen_bits(values))
    if picture.mode == "F":
        return _three_channels(_from_floats(np.asarray(picture), what))
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        return _three_channels(np.asarray(picture.convert("RGBA")))
    return np.array(picture.convert("RGB"))


def _from_tensor(tensor: torch.Tensor, limits: Limits) -> Picture:
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3, 4):
        raise MediaError(
            f"A picture tensor has to be [3, H, W], not {list(tensor.shape)}.",
            "Take one picture out of a batch with batch[0]; bring channels first with permute(2, 0, 1).",
        )
    values = tensor.detach().cpu()
    # bfloat16 has no numpy type
    return _from_array((values.float() if values.is_floating_point() else values).permute(1, 2, 0).numpy(), limits)


def _from_array(array: NDArray[Any], limits: Limits) -> Picture:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or array.size == 0:
        raise MediaError(
            f"A picture array has to be [H, W], [H, W, 3] or [H, W, 4], not {list(array.shape)}.",
            "Bring the channels last, and pass one picture, not a batch.",
        )
    limits.check_size("The picture array", array.shape[1], array.shape[0])
    if array.dtype == np.uint8:
        return _three_channels(array)
    if array.dtype == np.uint16:
        return _three_channels(_from_sixteen_bits(array.astype(np.int64)))
    if np.issubdtype(array.dtype, np.floating):
        return _three_channels(_from_floats(array, "The picture array"))
    raise MediaError(
        f"A picture array has to be uint8, uint16 or float, not {array.dtype}.",
        "Convert it: array.astype('uint8') for values in 0..255.",
    )


def _from_sixteen_bits(values: NDArray[np.int64]) -> Picture:
    return ((values * 255 + 32767) // 65535).astype(np.uint8)


def _from_floats(values: NDArray[Any], what: str) -> Picture:
    low, high = float(values.min()), float(values.max())
    if not (low >= -_FLOAT_SLACK and high <= 1 + _FLOAT_SLACK):  # NaN fails both
        raise MediaError(
            f"{what} has float values from {low:g} to {high:g}; they have to be in 0..1.",
            "Divide by the largest value, or pass uint8.",
        )
    scaled: Picture = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    return scaled


def _three_channels(array: Picture) -> Picture:
    """uint8 [H, W] or [H, W, 1 | 3 | 4] to a new RGB [H, W, 3]; alpha is laid on white."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 3:
        return np.array(array, order="C")
    alpha = array[:, :, 3:].astype(np.uint16)
    flat: Picture = ((array[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return flat
