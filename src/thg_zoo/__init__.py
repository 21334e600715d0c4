"""thg-zoo: talking-head models behind one call.

    import thg_zoo

    model = thg_zoo.load("warp")
    model.animate("face.png", "speech.wav").save("out.mp4")

Importing the package imports neither torch nor any other heavy library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thg_zoo.errors import ThgZooError
from thg_zoo.version import __version__
from thg_zoo.zoo import describe, list_models, load

if TYPE_CHECKING:
    from thg_zoo.adapter import Adapter, Portrait
    from thg_zoo.animation import Animation
    from thg_zoo.comparison.comparing import compare
    from thg_zoo.comparison.results import Comparison
    from thg_zoo.inputs import clip
    from thg_zoo.jobs.batch import batch
    from thg_zoo.keypoints.keyframes import Keyframes

__all__ = [
    "Adapter",
    "Animation",
    "Comparison",
    "Keyframes",
    "Portrait",
    "ThgZooError",
    "__version__",
    "batch",
    "clip",
    "compare",
    "describe",
    "list_models",
    "load",
]

_LAZY = {
    "Adapter": "thg_zoo.adapter",
    "Portrait": "thg_zoo.adapter",
    "Animation": "thg_zoo.animation",
    "batch": "thg_zoo.jobs.batch",
    "clip": "thg_zoo.inputs",
    "compare": "thg_zoo.comparison.comparing",
    "Comparison": "thg_zoo.comparison.results",
    "Keyframes": "thg_zoo.keypoints.keyframes",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
