"""What a file is, told by the file itself and never by its name."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from thg_zoo.errors import MediaError

_HEAD_BYTES = 4096

_PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
)
_PLAYLISTS: tuple[tuple[bytes, str], ...] = (
    (b"#extm3u", "an HLS playlist"),
    (b"ffconcat", "an ffconcat list"),
    (b"[playlist]", "a PLS playlist"),
    (b"v=0", "an SDP description"),
    (b"<mpd", "a DASH manifest"),
    (b"<smoothstreamingmedia", "a Smooth Streaming manifest"),
    (b"<asx", "an ASX playlist"),
    (b"<smil", "a SMIL playlist"),
    (b"<playlist", "an XSPF playlist"),
    (b"rtsptext", "an RTSP redirection"),
)
_APPLE_PICTURES = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF", b"avif": "AVIF", b"avis": "AVIF"}


def read_head(path: Path) -> bytes:
    """The first bytes of a regular, readable, non-empty file.

    Raises MediaError for anything else. Nothing but a regular file is opened: a pipe or a device could block for
    ever.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise MediaError(f"{path} is a folder.", "Name a file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(f"{path} is not a regular file.", "Copy its content to a file first.")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not head:
        raise MediaError(f"{path} is empty.", "Check how the file was made or copied.")
    return head


def picture_format(head: bytes) -> str | None:
    """The format of a picture that begins with `head` (PNG, JPEG, WEBP, BMP, TIFF, GIF), or None."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _PICTURES if head.startswith(magic)), None)


def refuse_by_content(path: Path, head: bytes) -> None:
    """Raise MediaError for playlists and manifests, for picture formats without a decoder, and for plain text.

    ffmpeg is told not to open these either (`ffmpeg.DEMUXERS`); this names the reason.
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, name in _PLAYLISTS:
        if text.startswith(magic) or (
            magic.startswith(b"<") and text.startswith((b"<?xml", b"<!--")) and magic in text
        ):
            raise MediaError(
                f"{path} is {name}, which only points to other files.", "Download the media itself and pass that file."
            )
    if head[4:8] == b"ftyp" and head[8:12] in _APPLE_PICTURES:
        raise MediaError(f"{path} is a {_APPLE_PICTURES[head[8:12]]} picture.", "Convert it to PNG or JPEG first.")
    if _is_text(head):
        raise MediaError(f"{path} holds text, not a picture, sound or video.", "Check that the right file was given.")


def _is_text(head: bytes) -> bool:
    try:
        head.decode("ascii")
    except UnicodeDecodeError:
        return False
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _unreadable(path: Path, error: OSError | ValueError) -> MediaError:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOENT, errno.ENOTDIR):
        return MediaError(f"{path} does not exist.", f"Check the name; the current folder is {Path.cwd()}.")
    if number in (errno.EACCES, errno.EPERM):
        return MediaError(f"{path} may not be read by this user.", "Change its permissions or copy it.")
    reason = os.strerror(number) if number else str(error)
    return MediaError(f"{path} cannot be read: {reason}.", "Check the name and the disk.")
