"""The options of DaGAN."""

from __future__ import annotations

from dataclasses import dataclass

from thg_zoo.keypoints.driving_options import SizedDrivingOptions


@dataclass(frozen=True)
class DaganOptions(SizedDrivingOptions):
    """Those of the family. The published program's README sets relative and adapt_scale."""
