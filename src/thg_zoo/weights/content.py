"""What a file is, told from its first bytes and its table of contents, never from its name."""

from __future__ import annotations

import struct
import tarfile
import zipfile
from enum import Enum
from pathlib import Path

HEAD = 1024
TORCH_LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
LEGACY_TAR_MEMBERS = {"storages", "tensors", "pickle"}


class Kind(Enum):
    """A way of storing tensors."""

    SAFETENSORS = "safetensors"
    TORCH_ZIP = "torch zip archive"
    TORCHSCRIPT = "TorchScript archive"
    TORCH_LEGACY = "torch file of the generation before 1.6"
    TORCH_TAR = "torch tar archive of the generation before 0.2"
    PICKLE = "plain pickle"
    NPZ = "numpy archive"
    MAT = "MATLAB file"


def kind_of(path: Path) -> Kind | None:
    """The way the file stores tensors, or None where it is none of the known ones. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if _is_safetensors(head, path.stat().st_size):
        return Kind.SAFETENSORS
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if head.startswith(TORCH_LEGACY_MAGIC):
        return Kind.TORCH_LEGACY
    if head[257:262] == b"ustar" and _is_torch_tar(path):
        return Kind.TORCH_TAR
    if head.startswith(b"MATLAB 5.0"):
        return Kind.MAT
    if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return Kind.PICKLE
    return None


def disguise(path: Path) -> str | None:
    """What the file is instead of a checkpoint, in words, or None where nothing familiar is seen."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "an empty file"
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        return "a git-lfs pointer, the note that stands for a file that was not fetched"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<error")):
        return "a web page saved under the name of a checkpoint"
    if text.startswith((b'{"', b"{'", b"{\n", b"[{")):
        return "a JSON text, such as a server's message"
    if _is_link_text(head):
        return "the text of a symbolic link, not the file it points to"
    signatures = {
        b"\x1f\x8b": "a gzip archive that has to be unpacked",
        b"7z\xbc\xaf": "a 7z archive that has to be unpacked",
        b"Rar!": "a RAR archive that has to be unpacked",
        b"\x89HDF": "an HDF5 file",
        b"MATLAB 7.3": "a MATLAB 7.3 file (HDF5)",
    }
    return next((what for start, what in signatures.items() if head.startswith(start)), None)


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 9 or head[8:9] != b"{":
        return False
    (length,) = struct.unpack("<Q", head[:8])
    return bool(2 <= length <= size - 8)


def _zip_kind(path: Path) -> Kind | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return None
    # Members of a torch archive lie in one folder, named as the file was when it was written.
    inner = {name.partition("/")[2] for name in names}
    if "data.pkl" in inner:
        is_script = "constants.pkl" in inner and any(name.startswith("code/") for name in inner)
        return Kind.TORCHSCRIPT if is_script else Kind.TORCH_ZIP
    return Kind.NPZ if names and all(name.endswith(".npy") for name in names) else None


def _is_torch_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:") as archive:
            return set(archive.getnames()) >= LEGACY_TAR_MEMBERS
    except tarfile.TarError:
        return False


def _is_link_text(head: bytes) -> bool:
    """A short single line that is a path: what is left of a link where links are not known."""
    if len(head) >= HEAD or b"\0" in head:
        return False
    try:
        text = head.decode().strip()
    except UnicodeDecodeError:
        return False
    return "/" in text and "\n" not in text and text.startswith(("/", "./", "../"))
