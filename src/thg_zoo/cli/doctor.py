"""`thg-zoo doctor`: is everything in place, and if not, what to do."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from thg_zoo.cli import console
from thg_zoo.errors import ThgZooError

# Less free space than this will not hold the larger published sets.
_ROOM = 5_000_000_000


_MARKS = {True: "[green]ok[/]  ", False: "[red]fix[/] ", None: "[dim]--[/]  "}


@dataclass(frozen=True)
class Finding:
    """One line of the examination: `good` False needs the remedy, None is a mere note."""

    subject: str
    state: str
    good: bool | None = True
    remedy: str = ""


def doctor() -> None:
    """Check ffmpeg, torch, devices, the cache, the disk and the hub. Exit code 1 if something needs a remedy."""
    well = True
    for finding in _examine():
        console.out().print(f"{_MARKS[finding.good]} [bold]{finding.subject:<12}[/] ", end="")
        console.out().print(finding.state, markup=False, soft_wrap=True)
        if finding.good is False:
            console.out().print(f"{'':17}{finding.remedy}", markup=False, soft_wrap=True)
            well = False
    if not well:
        raise typer.Exit(1)


def _examine() -> Iterator[Finding]:
    from thg_zoo.report import versions

    yield Finding("versions", ", ".join(f"{name} {version}" for name, version in versions().items()))
    yield _ffmpeg()
    yield from _devices()
    yield _detector()
    yield from _cache()
    yield _hub()


def _ffmpeg() -> Finding:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        program = get_ffmpeg_exe()
        done = subprocess.run([program, "-nostdin", "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        return Finding(
            "ffmpeg",
            f"does not run: {error}",
            False,
            "Reinstall the package imageio-ffmpeg, or unset IMAGEIO_FFMPEG_EXE.",
        )
    return Finding("ffmpeg", f"{done.stdout.split()[2]} at {program}")


def _devices() -> Iterator[Finding]:
    from thg_zoo.runtime import resolve_runtime

    for device in ("cpu", "cuda", "mps"):
        try:
            yield Finding(f"device {device}", resolve_runtime(device).description)
        except ThgZooError as error:
            yield Finding(f"device {device}", f"not available. {error.message}", None)


def _detector() -> Finding:
    from thg_zoo.faces.mtcnn import Mtcnn

    try:
        Mtcnn()
    except ThgZooError as error:
        return Finding("faces", error.message, False, error.remedy)
    return Finding("faces", "MTCNN is ready")


def _cache() -> Iterator[Finding]:
    from thg_zoo.weights import cache_status

    status = cache_status()
    held = f"{status.n_files} files, {console.human_size(status.n_bytes)}"
    yield Finding("cache", f"{held} in {status.folder} and {status.hub_folder}")
    folder = Path(status.hub_folder)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    yield Finding(
        "disk",
        f"{console.human_size(free)} free at {folder}",
        free > _ROOM,
        "Make room, or let HF_HOME name a folder on another disk.",
    )


def _hub() -> Finding:
    from thg_zoo.weights import hub_status

    status = hub_status()
    if status.reachable:
        return Finding("hub", f"{status.endpoint} answers")
    remedy = "Check the network, proxy and HF_ENDPOINT; models that are in the cache, and warp, work without."
    return Finding("hub", f"{status.endpoint}: {status.reason}", status.offline, remedy)
