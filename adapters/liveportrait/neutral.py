"""The expression of a neutral face, as the authors publish it: what a single driving picture is compared with."""

from __future__ import annotations

import torch
from torch import Tensor

# x, y, z of the 21 points, in millionths.
_MILLIONTHS = """
-94.524 242.22 -40.0974   208.596 468.054 12.7466   -124.602 324.972 4.425      119.652 -456.624 54.0852
-265.254 -74.598 -15.528  -33.4884 -183.036 -3.49404  -0.475428 -0.452466 1.59498  -541.296 2632.8 7.2486
-11.694 5.00502 9.9888    0.80286 5.19132 -409.344  166.878 -19.815 -88.548     -15.1536 82.506 5.94012
-0.261054 2.7591 2.21028  -66.282 -68.286 -3.45318  -832.62 -1795.92 -2.59176   6.9714 36.5514 -1.8978
-4.80876 7.11480 -10.3236 -636.84 -1166.1 56.2314   283.29 -14.5656 10.9746     -4.16022 -15090.6 -2549.4
222.474 5627.88 2726.46
"""


def neutral_expression(like: Tensor) -> Tensor:
    """`[1, 21, 3]` of the type and on the device of `like`."""
    values = torch.tensor([float(text) for text in _MILLIONTHS.split()], dtype=torch.float64) / 1e6
    return values.view(1, -1, 3).to(like)
