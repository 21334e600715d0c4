"""The published smoothing of motion: a Kalman smoother for values that wander (a random walk, observed with noise).

The reference treats all components of a frame as one state with diagonal matrices; so every component is smoothed by
itself, with gains that all share and that do not depend on the values.
"""

from __future__ import annotations

import torch
from torch import Tensor

PROCESS_VARIANCE = 1e-5


def smooth(values: Tensor, observation_variance: float) -> Tensor:
    """`[T, ...]` smoothed over time (Rauch, Tung, Striebel), in the type of the values.

    The first frame is the mean of the initial state, whose variance is 1. observation_variance: of the noise; at 3e-7
    the values hardly change, 1e-4 smooths over about seven frames.
    """
    gains, backward = _gains(len(values), observation_variance)
    # On the host: steps that depend on each other gain nothing from a device, and not every device has float64.
    observed = values.cpu().double()
    filtered = [observed[0]]
    for value, gain in zip(observed[1:], gains[1:], strict=True):
        filtered.append(filtered[-1] + gain * (value - filtered[-1]))
    smoothed = [filtered[-1]]
    for mean, gain in zip(reversed(filtered[:-1]), reversed(backward), strict=True):
        # What is predicted of the next frame is this frame's mean: the state only wanders.
        smoothed.append(mean + gain * (smoothed[-1] - mean))
    return torch.stack(smoothed[::-1]).to(values)


def _gains(n: int, observation_variance: float) -> tuple[list[float], list[float]]:
    """The gains of n observations, and of the n - 1 steps back."""
    predicted, gains, backward = 1.0, [], []
    for _ in range(n):
        gain = predicted / (predicted + observation_variance)
        remaining = (1 - gain) * predicted
        predicted = remaining + PROCESS_VARIANCE
        gains.append(gain)
        backward.append(remaining / predicted)
    return gains, backward[:-1]
