"""`thg-zoo run`: animate one source with one driver, or edit it with options alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thg_zoo.cli import console
from thg_zoo.cli.arguments import (
    AcceptLicense,
    BatchSize,
    Device,
    DriverFps,
    ModelName,
    Pairs,
    Precision,
    Quiet,
    Seed,
    Weights,
    examples,
)
from thg_zoo.errors import UsageError
from thg_zoo.options import parse_pairs, read_options_file
from thg_zoo.zoo import describe, load

if TYPE_CHECKING:
    from thg_zoo.adapter import Adapter
    from thg_zoo.animation import Animation

EXAMPLES = examples(
    "thg-zoo run warp face.png speech.wav -o out.mp4 head_motion=0.5",
    "thg-zoo run liveportrait face.png yaw=20 smile=0.8 -o turned.png",
)


def run(
    model: ModelName,
    source: Annotated[
        str, typer.Argument(help="Picture (or video, where the model takes one) of the person.", metavar="SOURCE")
    ],
    driver: Annotated[
        str | None,
        typer.Argument(
            help="Speech, video (or a folder of its frames), picture, motion or keyframes that move the person; none "
            "where the options edit it.",
            metavar="DRIVER",
        ),
    ] = None,
    options: Pairs = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to write: .mp4, .webm, .gif, a folder for PNGs, or .png for one frame.",
            metavar="OUT",
        ),
    ] = None,
    options_file: Annotated[
        str | None, typer.Option("--options", help="YAML file with options; key=value pairs win.", metavar="FILE")
    ] = None,
    weights: Weights = None,
    drive_by: Annotated[
        str, typer.Option(help="What of a driving video counts: auto, audio, video, image, motion or edit.")
    ] = "auto",
    driver_fps: DriverFps = None,
    device: Device = "auto",
    precision: Precision = "float32",
    batch_size: BatchSize = None,
    seed: Seed = 0,
    report: Annotated[str | None, typer.Option(help="Write a JSON report of the run here.", metavar="FILE")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    accept_license: AcceptLicense = False,
    quiet: Quiet = False,
) -> None:
    """Animate SOURCE with DRIVER, or without one edit it as KEY=VALUE says.

    A name that begins with a dash is written after `--`, or as ./-name.
    """
    if quiet:
        console.be_quiet()
    described = describe(model)
    driver, pairs = _driver_and_pairs(driver, options or [])
    given = (read_options_file(options_file) if options_file else {}) | parse_pairs(pairs)
    described.resolve(given)
    if driver is None and "edit" not in described.spec.drivers:
        raise UsageError(f"{model!r} needs a driver.", f"It takes {' or '.join(described.spec.drivers)}.")
    # Heavy imports come now: everything that can be refused without them has been.
    from thg_zoo.allocation import keep_freed_memory
    from thg_zoo.cli.progress import progress_display
    from thg_zoo.inputs import frame_folder, open_driver, open_source
    from thg_zoo.media.outputs import check_output
    from thg_zoo.report import check_report_path

    target = output or _default_output(source, driver, model)
    check_output(target, overwrite)
    if report is not None:
        check_report_path(report)
    named = driver if driver is None or driver_fps is None else frame_folder(driver, driver_fps)
    # Weights may be large: inputs that the model does not take are refused before anything is fetched.
    shown = open_source(source, described.spec.sources)
    moved_by = open_driver(named, described.spec.drivers, drive_by)
    keep_freed_memory()
    loaded = load(
        model,
        weights=weights,
        device=device,
        precision=precision,
        batch_size=batch_size,
        seed=seed,
        accept_licence=accept_license,
    )
    if not quiet:
        _say_where(loaded)
    with progress_display(quiet) as progress:
        animation = loaded.animate(shown, moved_by, drive_by=drive_by, seed=seed, progress=progress, **given)
        animation.save(target, overwrite=overwrite, report=report)
    if not quiet:
        _say_result(animation)


def _driver_and_pairs(driver: str | None, options: list[str]) -> tuple[str | None, list[str]]:
    """Without a driver, what stands in its place is the first option."""
    name, equals, _ = (driver or "").partition("=")
    if driver is None or not equals or not name.isidentifier() or Path(driver).exists():
        return driver, options
    return None, [driver, *options]


def _default_output(source: str, driver: str | None, model: str) -> str:
    """A name in the current folder that says what it is. A picture that is only edited stays a picture."""
    from thg_zoo.media.probe import probe

    if driver is None:
        suffix = ".png" if probe(source).kind == "image" else ".mp4"
        return f"{Path(source).stem}-{model}{suffix}".lstrip("-")
    return f"{Path(source).stem}-{Path(driver).stem}-{model}.mp4".lstrip("-")


def _say_where(model: Adapter[object, object]) -> None:
    random = any(weight.verified == "random" for weight in model.weights)
    note = " with random weights: the result shows nothing" if random else ""
    console.err().print(f"{model.model.name} on {model.runtime.description}{note}", soft_wrap=True)


def _say_result(animation: Animation) -> None:
    report = animation.report
    assert report is not None
    size = f"{report.size[1]} x {report.size[0]}"
    if report.frames == 1:
        console.err().print(f"1 frame, {size}")
    else:
        length = report.frames / float(animation.fps)
        speed = f"{_speed(report.frames / report.seconds)} frames/s, {_speed(length / report.seconds)} x real time"
        console.err().print(f"{report.frames} frames, {length:.2f} s, {size}; {speed}")
    console.out().print(report.output, soft_wrap=True, markup=False)


def _speed(value: float) -> str:
    """Two digits of what is slow, where a rounded number would be 0."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
