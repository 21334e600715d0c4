"""Wav2Lip's generator against the figures of the published code, and its fast forms against the plain one."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, folded, parametrize, recorded
from layouts import assert_layout
from thg_zoo.adapters.wav2lip.networks import Generator
from thg_zoo.faces.s3fd import S3fdNetwork


@cache
def plain_generator() -> Generator:
    """As published."""
    return Case("wav2lip", "generator").fill(Generator())


@cache
def fast_generator() -> Generator:
    """As it runs."""
    return folded(copy.deepcopy(plain_generator())).to(memory_format=torch.channels_last)


def generator(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    network = plain_generator()
    inner = {f"face_feat_{i}": f"face_encoder_blocks.{i}" for i in range(7)}
    # The last layer of each decoder block: the block itself is not called as one.
    inner |= {f"dec_{i}": f"face_decoder_blocks.{i}.{len(network.face_decoder_blocks[i]) - 1}" for i in range(7)}
    with recorded(network, audio_embedding="audio_encoder", out_hidden="output_block.0", **inner) as seen:
        output = network(inputs["mel"], inputs["face"])
    return {**seen, "output": output}


def generator_time(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    """The training call: its time steps are frames like others, the batch running fastest."""
    network = fast_generator()
    mel, face = inputs["mel"], inputs["face"]
    frames = network(mel.transpose(0, 1).flatten(0, 1), face.permute(2, 0, 1, 3, 4).flatten(0, 1))
    return {"output": frames.unflatten(0, (mel.shape[1], mel.shape[0])).permute(1, 2, 0, 3, 4)}


@parametrize({"generator": generator, "generator_time": generator_time})
def test_network_matches_published_code(name, runner):
    check("wav2lip", name, runner)


@pytest.mark.parametrize(
    ("file", "part", "make"), [("wav2lip.pth", "generator", Generator), ("s3fd.pth", "detector", S3fdNetwork)]
)
def test_state_dict_has_the_published_layout(file, part, make):
    assert_layout("wav2lip", file, part, make)


def drawn(batch: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.rand(batch, 1, 80, 16, generator=random) * 8 - 4, torch.rand(batch, 6, 96, 96, generator=random)


@torch.inference_mode()
def test_folding_and_memory_format_change_nothing_visible():
    fast = fast_generator()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fast.modules())
    mel, face = drawn(2)
    expected = plain_generator()(mel, face)
    assert expected.std() > 0.1
    torch.testing.assert_close(fast(mel, face), expected, rtol=0, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("make", [plain_generator, fast_generator])
def test_a_face_encoded_once_serves_every_sound(make):
    generator = make()
    mel, face = drawn(2)
    expected = generator(mel, face[:1].expand(2, -1, -1, -1))
    shared = generator.decode(generator.encode_audio(mel), generator.share_face(face[:1]))
    torch.testing.assert_close(shared, expected, rtol=0, atol=1e-5)
    assert (expected[0] - expected[1]).abs().max() > 0.01
