"""LIA's networks against the figures of the published code, as they are written and in their fast forms."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import pytest
import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize, recorded
from layouts import assert_layout
from thg_zoo.adapters.lia.networks import Generator, Source, flow_and_mask
from thg_zoo.nn.equalised import FusedLeakyReLU
from thg_zoo.nn.fast_forms import use_fast_forms
from thg_zoo.nn.fir import binomial_kernel, fir, fir_enlarge
from thg_zoo.nn.modulated import ModulatedConv2d
from thg_zoo.nn.warp import warp

SIDES = (8, 16, 32, 64, 128, 256)


@cache
def generator(form: str) -> Generator:
    """With the seeded weights that all cases share; for reading alone."""
    network = Case("lia", "generator").fill(Generator()) if form == "published" else deepcopy(generator("published"))
    assert isinstance(network, Generator)
    if form == "float64":
        return network.double()
    if form == "fast":
        network.fold()
        use_fast_forms(network)
    return network


def resampled(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    x, kernel = inputs["x"], binomial_kernel()
    return {
        "up": fir_enlarge(x, 4 * kernel),
        "blur_up": fir(x, 4 * kernel, 1),
        "blur_down": fir(x, kernel, 2),
        "blur_down1": fir(x, kernel, 1),
    }


def resampled_askew(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    x, kernel = inputs["x"], inputs["kernel"]
    return {"up2": fir_enlarge(x, kernel), "down2": fir(x, kernel, 1, stride=2)}


def activation(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    layer = FusedLeakyReLU(4)
    layer.load_state_dict({"bias": inputs["bias"]})
    return {"y": layer(inputs["x"])}


def modulated(*, up: bool, fold: bool):
    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        layer = ModulatedConv2d(6, 5, 3, 8, up=up)
        state = {"weight": "weight", "modulation.weight": "mod_weight", "modulation.bias": "mod_bias"}
        layer.load_state_dict({name: inputs[given] for name, given in state.items()}, strict=False)
        if fold:
            layer.fold()
        return {"y": layer(inputs["x"], layer.modulation(inputs["style"]))}

    return run


def direction(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = generator("published").dec.direction
    return {"Q": network.basis(), "dirs": network(inputs["alpha"])}


def encoder(form):
    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        h, features = generator(form).enc.net_app(inputs["image"])
        maps = {f"feat{i}_{side}": maps for i, (side, maps) in enumerate(zip(SIDES, features, strict=True))}
        return {"h": h, **maps}

    return run


def motion_layers(form):
    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        return {"alpha": generator(form).enc.fc(inputs["h"])}

    return run


def decoder(form):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        network = generator(form)
        inputs = {name: value.to(network.dec.to_rgb1.bias) for name, value in inputs.items()}
        features = [inputs[f"feat{i}"] for i in range(6)]
        colours = [layer.colours(maps) for layer, maps in zip(network.dec.to_rgbs, features, strict=True)]
        alpha = inputs["alpha_target"] - inputs["alpha_start"] + inputs["alpha_source"]
        inner = {"conv1_4": "dec.conv1"}
        for i, side in enumerate(SIDES):
            inner[f"in_{side}"] = f"dec.convs.{2 * i + 1}"
            inner[f"flowmask_{side}"] = f"dec.to_flows.{i}"
            inner[f"rgb_{side}"] = f"dec.to_rgbs.{i}"
        with recorded(network, **inner) as seen:
            seen["image"] = network.render(Source(inputs["wa"], alpha, features[:-1], colours), alpha)
        for side, maps in zip(SIDES, features, strict=True):
            flow, mask = flow_and_mask(seen[f"flowmask_{side}"])
            seen[f"warped_{side}"] = warp(maps, flow) * mask
            seen[f"blend_{side}"] = seen[f"warped_{side}"] + seen[f"in_{side}"] * (1 - mask)
        return {name: seen[name] for name in case.golden["outputs"]}

    return run


def whole(form):
    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        network = generator(form)
        pictures = {name: value.to(network.dec.to_rgb1.bias) for name, value in inputs.items()}
        source = network.encode(pictures["source"])
        drive, start = network.motion(pictures["drive"]), network.motion(pictures["start"])
        return {
            "h_start": start,
            "relative": network.render(source, drive - start + source.alpha),
            "absolute": network.render(source, drive),
        }

    return run


def manipulated(form):
    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        network = generator(form)
        source = network.encode(inputs["source"])
        steps = (0, 5, 15)
        alpha = source.alpha.repeat(len(steps), 1)
        alpha[:, 7] += torch.tensor([-3 + j * 6 / 16 for j in steps])
        frames = network.render(source, alpha)
        return {f"step{j}": frames[i : i + 1] for i, j in enumerate(steps)}

    return run


PUBLISHED = {
    "upfirdn2d": resampled,
    "upfirdn2d_asym": resampled_askew,
    "fused_leaky_relu": activation,
    "modconv": modulated(up=False, fold=False),
    "modconv_up": modulated(up=True, fold=False),
    "direction": direction,
    "encoder": encoder("published"),
    "motion_fc": motion_layers("published"),
    "decoder": decoder("published"),
    "generator": whole("published"),
    "linear_manipulation": manipulated("published"),
    "decoder_float64": decoder("float64"),
    "generator_float64": whole("float64"),
}
FAST = {
    "modconv": modulated(up=False, fold=True),
    "modconv_up": modulated(up=True, fold=True),
    "encoder": encoder("fast"),
    "motion_fc": motion_layers("fast"),
    "decoder": decoder("fast"),
    "generator": whole("fast"),
    "linear_manipulation": manipulated("fast"),
}


@parametrize(PUBLISHED, frozenset({"generator_float64"}))
def test_network_matches_published_code(name, runner):
    check("lia", name, runner)


@parametrize(FAST)
def test_fast_form_matches_published_code(name, runner):
    check("lia", name, runner)


@pytest.mark.parametrize("file", ["vox.pt", "taichi.pt", "ted.pt"])
def test_state_dict_has_the_published_layout(file):
    assert_layout("lia", file, "gen", Generator)
