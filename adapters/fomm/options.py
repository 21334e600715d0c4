"""The options of FOMM: those of the published program, crops, and how the sampler reads flows."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.keypoints.driving_options import SizedDrivingOptions
from thg_zoo.options import option


@dataclass(frozen=True)
class FommOptions(SizedDrivingOptions):
    """The published program's README sets relative and adapt_scale."""

    align_corners: bool = option(
        False,
        "Sample as PyTorch did when the weights were trained (2019), not as the published code does on today's.",
        stage="source",
    )
