"""PIRenderer's networks and rules against the figures of the published code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, folded, parametrize, recorded
from layouts import assert_layout
from thg_zoo.adapters.pirender.coefficients import crop_ratio, rescaled
from thg_zoo.adapters.pirender.control import edited, rotation_track
from thg_zoo.adapters.pirender.editing import ResidualBlock
from thg_zoo.adapters.pirender.networks import FaceGenerator
from thg_zoo.adapters.pirender.options import PIRenderOptions
from thg_zoo.adapters.pirender.tables import rows_of
from thg_zoo.adapters.pirender.warping import deformation
from thg_zoo.face3d.mapping import sections
from thg_zoo.nn.warp import warp

FILE = "epoch_00190_iteration_000400000_checkpoint.pt"
WINDOW = 27


def network(case: Case, fast: bool) -> FaceGenerator:
    filled = case.fill(FaceGenerator())
    made = folded(filled) if fast else filled
    assert isinstance(made, FaceGenerator)
    return made


def windows(rows: Tensor) -> Tensor:
    """`[T, 73]` to the windows that the published code cuts, `[T, 73, 27]`."""
    return torch.cat([section.unfold(0, WINDOW, 1) for section in sections(rows.split(7))])


def with_scale(table: Tensor) -> Tensor:
    """A drawn table with its crop scales about one."""
    table = table.clone()
    table[:, 257] = 1 + 0.3 * table[:, 257]
    return table


def mapping(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    encoder = network(case, fast=False).mapping_net
    inner = {"first": "first", **{f"branch{i}": f"encoder{i}" for i in range(3)}}
    with recorded(encoder, **inner) as seen:
        descriptor = encoder(inputs["coeff"])
    return {**seen, "descriptor": descriptor}


def warping(fast: bool):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        net = network(case, fast).warpping_net
        inner = {f"encoder{i}": f"hourglass.encoder.encoder{i}" for i in range(5)}
        inner |= {f"decoder{i}": f"hourglass.decoder.decoder{i}" for i in (4, 3, 2)}
        with recorded(net, **inner) as seen:
            warped = net(inputs["image"], net.encode(inputs["image"]), inputs["descriptor"].squeeze(2))
        return {**seen, "flow": warped.flow, "warp": warped.picture}

    return run


def editing(fast: bool):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        net = network(case, fast).editing_net
        inner = {"first": "encoder.first", **{f"down{i}": f"encoder.down{i}" for i in range(3)}}
        inner |= {f"{name}{i}": f"decoder.{name}{i}" for name in ("res", "up", "jump") for i in range(3)}
        with recorded(net, **inner, before_tanh="decoder.final") as seen:
            y = net(net.encode(inputs["image"]), inputs["warp"], inputs["descriptor"].squeeze(2))
        return {**seen, "y": y}

    return run


def generator(fast: bool):
    def run(case: Case, inputs: dict[str, Tensor]) -> Outputs:
        net = network(case, fast)
        fake, warped = net(net.encode(inputs["image"]), net.mapping_net(inputs["coeff"]).squeeze(2))
        return {"fake": fake, "flow": warped.flow, "warp": warped.picture}

    return run


def clip_windows(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    target, source = with_scale(inputs["target"]), with_scale(inputs["source"])
    rows, own = rows_of(target.numpy()), rows_of(source.numpy())
    ratio = crop_ratio(own, rows)
    shown = torch.cat([ratio[None], source[0, 257:260], target[0, 257:260]])
    return {"same": windows(rows), "cross": windows(rescaled(rows, ratio)), "ratio": shown}


def picture_window(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"window": windows(rows_of(inputs["coeff"][None].numpy()))[0]}


def warped_picture(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    flow = deformation(inputs["flow"])
    return {"deformation": flow, "warped": warp(inputs["image"], flow)}


def control(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    return {"rotation": edited(torch.zeros(1, 73), rotation_track(), PIRenderOptions())[:, 64:70]}


def chain(case: Case, inputs: dict[str, Tensor]) -> Outputs:
    net = network(case, fast=True)
    rows, own = (rows_of(with_scale(inputs[name]).numpy()) for name in ("target", "source"))
    picture = inputs["image"].floor().permute(2, 0, 1).unsqueeze(0) / 127.5 - 1
    descriptors = torch.cat([net.describe(section) for section in sections([rescaled(rows, crop_ratio(own, rows))])])
    frames, warped = net(net.encode(picture), descriptors)
    levels = ((frames.clamp(-1, 1) + 1) / 2 * 255).to(torch.uint8).permute(0, 2, 3, 1)
    return {"flow": warped.flow, "frames": frames.clamp(-1, 1), "frames_u8": levels}


CASES = {
    "mapping": mapping,
    "windows": clip_windows,
    "image_semantic": picture_window,
    "warp": warped_picture,
    "control": control,
}
NETWORKS = {"warping": warping, "editing": editing, "generator": generator}


@parametrize(CASES)
def test_rules_match_published_code(name, runner):
    check("pirender", name, runner)


@pytest.mark.parametrize("fast", [False, True], ids=["published form", "fast form"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_matches_published_code(name, fast):
    check("pirender", name, NETWORKS[name](fast))


def test_chain_matches_published_code():
    check("pirender", "chain", chain)


def test_state_dict_has_the_published_layout():
    assert_layout("pirender", FILE, "net_G_ema", FaceGenerator)


@torch.inference_mode()
def test_a_sequence_in_pieces_equals_its_windows():
    torch.manual_seed(0)
    generator, rows = FaceGenerator().eval(), torch.randn(70, 73)
    expected = generator.mapping_net(windows(rows)).squeeze(2)
    for size in (1, 16, 26, 27, 100):
        found = torch.cat([generator.describe(section) for section in sections(rows.split(size))])
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)
    still = generator.describe_still(rows[:3])
    torch.testing.assert_close(still, generator.mapping_net(rows[:3, :, None].repeat(1, 1, 27)).squeeze(2))


def test_sections_are_made_as_rows_arrive():
    arrived = []

    def pieces():
        for k in range(100):
            arrived.append(k)
            yield torch.full((4, 1), float(k))

    made = sections(pieces())
    next(made)
    # The first frame needs the 13 that follow it.
    assert len(arrived) == 4
    next(made)
    assert len(arrived) == 5


@torch.inference_mode()
def test_what_the_dropped_branch_holds_changes_nothing():
    torch.manual_seed(0)
    block, x, z = ResidualBlock(8).eval(), torch.randn(2, 8, 16, 16), torch.randn(2, 256)
    before = block(x, z)
    for name, parameter in block.named_parameters():
        if name.startswith(("conv1", "norm1")):
            parameter.fill_(torch.nan)
    assert torch.equal(block(x, z), before)


@torch.inference_mode()
def test_frames_of_a_batch_do_not_know_each_other():
    torch.manual_seed(0)
    network = folded(FaceGenerator().eval())
    z, image = torch.randn(3, 256), torch.rand(1, 3, 64, 64) * 2 - 1
    portrait = network.encode(image)
    together, _ = network(portrait, z)
    single = torch.cat([network(portrait, row[None])[0] for row in z])
    torch.testing.assert_close(together, single, atol=2e-5, rtol=0)
    several, _ = network(network.encode(image.repeat(3, 1, 1, 1)), z)
    torch.testing.assert_close(several, together, atol=2e-5, rtol=0)
