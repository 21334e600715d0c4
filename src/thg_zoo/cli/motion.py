"""`thg-zoo motion`: what a model reads from a driving video, saved to drive any source later."""

from __future__ import annotations

from typing import Annotated

import typer

from thg_zoo.cli import console
from thg_zoo.cli.arguments import AcceptLicense, BatchSize, Device, DriverFps, Pairs, Quiet, Weights, examples
from thg_zoo.errors import UsageError
from thg_zoo.options import parse_pairs
from thg_zoo.zoo import describe, list_models, load

EXAMPLES = examples(
    "thg-zoo motion fomm driving.mp4 -o moves.npz",
    "thg-zoo run fomm face.png moves.npz -o out.mp4",
)


def motion(
    model: Annotated[
        str, typer.Argument(help="Name of a model that takes motion files: see `thg-zoo list`.", metavar="MODEL")
    ],
    driver: Annotated[
        str, typer.Argument(help="Video of the person who moves, or a folder of its frames.", metavar="DRIVER")
    ],
    options: Pairs = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Where to write.", metavar="OUT.npz")] = "motion.npz",
    driver_fps: DriverFps = None,
    weights: Weights = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    accept_license: AcceptLicense = False,
    quiet: Quiet = False,
) -> None:
    """Write the motion of DRIVER as a template that drives any source of the same model."""
    if quiet:
        console.be_quiet()
    described = describe(model)
    given = parse_pairs(options or ())
    described.resolve(given)
    if "motion" not in described.spec.drivers:
        known = ", ".join(m.name for m in list_models(driver="motion"))
        raise UsageError(f"{model!r} is not driven by motion files.", f"Those that are: {known}.")
    # Heavy imports come now: everything that can be refused without them has been.
    from thg_zoo.allocation import keep_freed_memory
    from thg_zoo.cli.progress import progress_display
    from thg_zoo.inputs import frame_folder, open_driver
    from thg_zoo.keypoints.template import check_template_path
    from thg_zoo.recording import RecordingAdapter, recorded_kinds

    check_template_path(output, overwrite)
    named = driver if driver_fps is None else frame_folder(driver, driver_fps)
    # Before weights are fetched, which may be large.
    opened = open_driver(named, recorded_kinds(described.spec.drivers))
    keep_freed_memory()
    loaded = load(model, weights=weights, device=device, batch_size=batch_size, accept_licence=accept_license)
    if not isinstance(loaded, RecordingAdapter):
        raise UsageError(f"{model!r} reads motion files, but does not write them.", "See its page.")
    with progress_display(quiet) as progress:
        written = loaded.save_motion(opened, output, overwrite=overwrite, progress=progress, **given)
    console.out().print(str(written), soft_wrap=True, markup=False)
