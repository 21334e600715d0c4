"""Frame by frame against a reference: PSNR, SSIM, MS-SSIM, L1, LPIPS, FID, by the libraries that define them.

scikit-image and torchmetrics are in the extra `metrics`; LPIPS and FID besides need torchvision and torch-fidelity,
which torchmetrics asks for, and the weights that these download.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thg_zoo.metrics.meter import Batch, Mean, Meter, Skip

_Compare: TypeAlias = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]

# Identical frames have no finite PSNR: they count as the best that is worth telling apart.
BEST_PSNR = 100.0
# Five scales, each half the one before, under a window of 11.
_SMALLEST_MS_SSIM = 161
_NO_FRAMES = "the reference has no frames in common with the video"


class FrameMeter(Meter):
    """The mean over all frames of a function of a frame and its reference frame."""

    def __init__(self, name: str, compare: _Compare) -> None:
        self.names = (name,)
        self._compare = compare
        self._mean = Mean()

    def update(self, batch: Batch) -> None:
        for frame, reference in zip(batch.frames, batch.reference, strict=False):
            self._mean.add(self._compare(frame, reference))

    def result(self) -> dict[str, float]:
        return {self.names[0]: self._mean.value(_NO_FRAMES)}


class NetworkMeter(Meter):
    """A metric of torchmetrics over pictures; `feed(metric, frames, reference)` gives it a batch [B, 3, H, W] uint8."""

    def __init__(self, name: str, metric: Any, feed: Callable[[Any, Tensor, Tensor], None]) -> None:
        self.names = (name,)
        self._metric, self._feed = metric, feed
        self._n = 0

    def update(self, batch: Batch) -> None:
        n = min(len(batch.frames), len(batch.reference))
        if n:
            self._feed(self._metric, _channels_first(batch.frames[:n]), _channels_first(batch.reference[:n]))
            self._n += n

    def result(self) -> dict[str, float]:
        if self._n < 2:
            raise Skip(_NO_FRAMES)
        return {self.names[0]: float(self._metric.compute())}


def psnr(frame: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """In dB over all channels; `BEST_PSNR` for identical frames."""
    if np.array_equal(frame, reference):
        return BEST_PSNR
    library = _library("skimage.metrics", "scikit-image")
    return min(BEST_PSNR, float(library.peak_signal_noise_ratio(reference, frame, data_range=255)))


def ssim(frame: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Wang et al. 2004 with the paper's window (Gaussian of sigma 1.5), mean of the three channels."""
    library = _library("skimage.metrics", "scikit-image")
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(library.structural_similarity(reference, frame, data_range=255, channel_axis=2, **settings))


def ms_ssim(frame: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Wang et al. 2003 with the paper's five weights, over RGB. Raises Skip for frames below 161 pixels."""
    if min(frame.shape[:2]) < _SMALLEST_MS_SSIM:
        raise Skip(f"the frames are smaller than {_SMALLEST_MS_SSIM} pixels, too small for five scales")
    library = _library("torchmetrics.functional.image", "torchmetrics")
    pictures = [_channels_first(picture[None]).float() for picture in (frame, reference)]
    return float(library.multiscale_structural_similarity_index_measure(*pictures, data_range=255.0))


def l1(frame: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Mean absolute difference of levels in 0..1."""
    return float(np.abs(frame.astype(np.int16) - reference).mean() / 255)


def lpips_meter(device: torch.device) -> NetworkMeter:
    """Zhang et al. 2018 with AlexNet, version 0.1. Raises Skip where torchmetrics cannot build it."""
    metric = _network(
        "torchmetrics.image.lpip", "LearnedPerceptualImagePatchSimilarity", "torchvision", net_type="alex"
    )

    def feed(metric: Any, frames: Tensor, reference: Tensor) -> None:
        metric.update(*(pictures.to(device).float() / 127.5 - 1 for pictures in (frames, reference)))

    return NetworkMeter("lpips", metric.to(device), feed)


def fid_meter(device: torch.device, feature: Any = 2048) -> NetworkMeter:
    """Heusel et al. 2017 over all frames. feature: 2048 for Inception's pooled features, or a module that takes uint8
    pictures [B, 3, H, W] and gives [B, D]. Raises Skip where torchmetrics cannot build it.
    """
    metric = _network("torchmetrics.image.fid", "FrechetInceptionDistance", "torch-fidelity", feature=feature)
    metric.set_dtype(torch.float64)

    def feed(metric: Any, frames: Tensor, reference: Tensor) -> None:
        metric.update(reference.to(device), real=True)
        metric.update(frames.to(device), real=False)

    return NetworkMeter("fid", metric.to(device), feed)


def _library(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Skip(f"needs the package {package}: pip install 'thg-zoo[metrics]'") from error


def _network(module: str, name: str, package: str, **arguments: Any) -> Any:
    """A metric of torchmetrics that holds a network, whose weights its packages fetch."""
    library = _library(module, "torchmetrics")
    try:
        return getattr(library, name)(**arguments)
    except ImportError as error:
        raise Skip(f"needs the package {package} and the weights that it downloads") from error
    except OSError as error:
        raise Skip(f"the weights that {package} downloads could not be had: {error}") from error


def _channels_first(frames: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
