"""Arguments that several commands take, described once."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

ModelName: TypeAlias = Annotated[str, typer.Argument(help="Name of the model: see `thg-zoo list`.", metavar="MODEL")]
Pairs: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(help="Options as key=value: see `thg-zoo info MODEL`.", metavar="KEY=VALUE"),
]
Weights: TypeAlias = Annotated[
    str | None, typer.Option(help="Folder or file with the published weights, or `random`. Default: from the hub.")
]
Device: TypeAlias = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision: TypeAlias = Annotated[str, typer.Option(help="float32 (published), bfloat16 or float16.")]
BatchSize: TypeAlias = Annotated[int | None, typer.Option(help="Frames at once. Default: what suits the device.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="Fixes everything random.", min=0)]
DriverFps: TypeAlias = Annotated[
    str | None, typer.Option(help="Frames per second of a driver that is a folder of pictures. Default: 25.")
]
AcceptLicense: TypeAlias = Annotated[
    bool, typer.Option("--accept-license", help="Accept the terms of weights that are not free for all uses.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


def examples(*commands: str) -> str:
    """The end of a command's help: a command per line, which stay apart in it."""
    return "\n\n".join(("Examples:", *commands))
