"""What is the same for all models of a comparison, and what is not: the facts that make it fair or show where not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from thg_zoo.comparison.layout import Layout
from thg_zoo.comparison.trial import Setting
from thg_zoo.inputs import Driver, Source
from thg_zoo.report import versions
from thg_zoo.runtime import resolve_runtime

CODEC = "H.264, crf 18, yuv420p, BT.709; AAC"


def describe_conditions(
    source: Source,
    driver: Driver,
    setting: Setting,
    fps: Fraction,
    layout: Layout,
    metric_weights: str | Path | None,
) -> dict[str, Any]:
    """As JSON can hold it. The videos measured are the models' own at their own rates, before the grid's resampling."""
    return {
        "source": {"name": source.name, "height": source.size[0], "width": source.size[1], "frames": source.n_frames},
        "driver": {"name": driver.name, "kind": driver.kind},
        "other_drivers": {model: str(other) for model, other in setting.drivers.items()},
        "seed": setting.seed,
        "device": _device(setting),
        "precision": setting.precision,
        "codec": CODEC,
        "metric_weights": "published" if metric_weights is None else str(metric_weights),
        "grid": {"fps": str(fps), "cell_height": layout.height, "cell_width": layout.width},
        "versions": versions(),
    }


def _device(setting: Setting) -> str:
    """Several run one model each at the same time; what each of them is stands in the models' rows."""
    if "," in setting.device:
        return f"{setting.device.replace(',', ' and ')} at the same time ({setting.precision})"
    return resolve_runtime(setting.device, setting.precision).description
