"""Running golden cases: networks filled as a case says, its inputs as tensors, inner outputs by hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import parity
from thg_zoo.keypoints.points import KeyPoints
from thg_zoo.nn.dense_motion import DenseMotion2d, affine_motions
from thg_zoo.nn.fast_forms import use_fast_forms
from thg_zoo.nn.fold import fold_batch_norm
from thg_zoo.nn.grid import coordinate_grid
from thg_zoo.nn.spectral import fold_spectral_norm
from thg_zoo.weights.seeded import fill_state_dict

Outputs = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One golden case of a model."""

    model: str
    name: str

    @property
    def golden(self) -> dict[str, Any]:
        data: dict[str, Any] = parity.load_golden(self.model)["cases"][self.name]
        return data

    def _setting(self, name: str, default: Any) -> Any:
        return self.golden.get(name, parity.load_golden(self.model).get(name, default))

    def inputs(self) -> dict[str, Tensor]:
        drawn = parity.draw_inputs(self.name, self.golden["inputs"])
        return {name: torch.from_numpy(array) for name, array in drawn.items()}

    def fill(self, network: nn.Module, part: str = "", *, prefix: str = "") -> nn.Module:
        """Seeds a network. part: its entry in a table of gains; prefix: of its names within the published part."""
        gain = self._setting("gain", 1.0)
        if isinstance(gain, dict):
            gain = gain[part]
        keep = set(self._setting("keep", ()))
        shapes = {prefix + name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        state = fill_state_dict(shapes, base=self._setting("base", 0), gain=gain, keep=keep)
        for name, factor in self._setting("multiply", {}).items():
            if name in state:
                state[name] = state[name] * np.float32(factor)
        missing, unknown = network.load_state_dict(
            {name.removeprefix(prefix): torch.from_numpy(np.asarray(array)) for name, array in state.items()},
            strict=False,
        )
        assert not unknown
        assert {prefix + name for name in missing} <= keep
        return network.eval()

    def errors(self, outputs: Outputs) -> dict[str, float]:
        """Error of every golden output in units of its tolerance: 1 is the limit."""
        chain = self.name.startswith("chain")
        limit = parity.CHAIN_TOLERANCE if chain else parity.NETWORK_TOLERANCE
        tolerances = self.golden.get("tolerance", {})
        assert set(outputs) == set(self.golden["outputs"])
        return {
            name: parity.difference(f"{self.name}:{name}", np.asarray(outputs[name]), expected)
            / tolerances.get(name, limit)
            for name, expected in self.golden["outputs"].items()
        }


Runner = Callable[[Case, dict[str, Tensor]], Outputs]


def run(model: str, name: str, runner: Runner) -> dict[str, float]:
    case = Case(model, name)
    with torch.inference_mode():
        return case.errors(runner(case, case.inputs()))


def check(model: str, name: str, runner: Runner) -> None:
    errors = run(model, name, runner)
    assert errors
    assert all(error <= 1 for error in errors.values()), errors


def parametrize(runners: Mapping[str, Runner], slow: frozenset[str] = frozenset()) -> pytest.MarkDecorator:
    """The cases of a test; those in `slow` are deselected by default."""
    return pytest.mark.parametrize(
        ("name", "runner"),
        [pytest.param(n, r, id=n, marks=[pytest.mark.slow] if n in slow else []) for n, r in runners.items()],
    )


def folded(network: nn.Module) -> nn.Module:
    """As a model runs on a CPU: norms folded into the convolutions, and layers in their fast forms."""
    fold_spectral_norm(network)
    fold_batch_norm(network)
    use_fast_forms(network)
    return network


@contextmanager
def recorded(network: nn.Module, **modules: str) -> Iterator[dict[str, Tensor]]:
    """Outputs of inner modules of the calls inside, by name; "<module" takes the module's first input instead.

    A module that is called several times gives `name`, `name_call1`, `name_call2`, ...
    """
    seen: dict[str, Tensor] = {}
    handles = []
    for name, path in modules.items():

        def record(
            _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = name, path: str = path
        ) -> None:
            calls = sum(key == name or key.startswith(f"{name}_call") for key in seen)
            tensor = inputs[0] if path.startswith("<") else output
            seen[f"{name}_call{calls}" if calls else name] = tensor.clone()

        handles.append(network.get_submodule(path.removeprefix("<")).register_forward_hook(record))
    yield seen
    for handle in handles:
        handle.remove()


def dense_motion_maps(
    network: DenseMotion2d, picture: Tensor, kp_source: KeyPoints, kp_driving: KeyPoints
) -> dict[str, Tensor]:
    """The inner maps of dense motion under the names of the published code."""
    source = network.encode(picture)
    with recorded(network, hourglass="hourglass", mask="mask", joined="<hourglass") as seen:
        motion = network(source, kp_source, kp_driving)
    size = source.appearance.shape[2:]
    moved = affine_motions(kp_source, kp_driving, size)
    still = coordinate_grid(size, moved).expand(len(moved), 1, -1, -1, -1)
    joined = seen["joined"].unflatten(1, (moved.shape[1] + 1, 4))
    return {
        "heatmap": joined[:, :, :1],
        "sparse_motion": torch.cat([still, moved], dim=1),
        "sparse_deformed": joined[:, :, 1:],
        "hourglass": seen["hourglass"],
        "mask": seen["mask"].softmax(1),
        "deformation": motion.flow,
        "occlusion_map": motion.occlusion,
    }


def enlarged(low: Tensor, size: int) -> Tensor:
    """A smooth picture from a small one, as the chains are fed."""
    return nn.functional.interpolate(low, size=(size, size), mode="bilinear", align_corners=False)
