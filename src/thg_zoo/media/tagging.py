"""Metadata that ffmpeg does not write: XMP packets in mp4 files, and text in gif files."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

# XMP Specification Part 3 (Adobe, 2020), 1.1.4: the type of the top-level `uuid` box that holds XMP in MPEG-4.
XMP_UUID = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")

_GIF_SUBBLOCK = 255
# XMP Specification Part 3, 1.1.2: the packet is stored raw; this trailer leads any reader of sub-blocks to its end,
# wherever in the packet it takes a byte for a length.
_GIF_XMP_TRAILER = bytes([1, *range(255, -1, -1), 0])


def append_mp4_xmp(path: Path, xmp: str) -> None:
    """Add a top-level box with the XMP packet to a finished mp4 file; no other byte changes. Raises OSError."""
    packet = xmp.encode()
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(XMP_UUID) + len(packet), b"uuid") + XMP_UUID + packet)


def gif_comment(metadata: Mapping[str, str]) -> bytes:
    """A comment extension with one `key: value` line for each entry."""
    text = "\n".join(f"{key}: {value}" for key, value in metadata.items()).encode()
    blocks = (text[at : at + _GIF_SUBBLOCK] for at in range(0, len(text), _GIF_SUBBLOCK))
    return b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\x00"


def gif_xmp(xmp: str) -> bytes:
    """The application extension that holds an XMP packet."""
    return b"\x21\xff\x0bXMP DataXMP" + xmp.encode() + _GIF_XMP_TRAILER
