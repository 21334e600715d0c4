"""Faster ways to compute the same: each equals the plain operation it stands for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thg_zoo.nn import attention, winograd
from thg_zoo.nn.blocks import ResBlock
from thg_zoo.nn.convolution import NarrowConv2d, conv_of_nearest
from thg_zoo.nn.fast_forms import use_fast_forms
from thg_zoo.nn.grid import coordinate_grid
from thg_zoo.nn.instance_norm import instance_norm
from thg_zoo.nn.linear import linear
from thg_zoo.nn.nearest import NearestConv
from thg_zoo.nn.spade import SpadeDecoder, SpadeResBlock
from thg_zoo.nn.spade_joined import JoinedSpadeResBlock
from thg_zoo.nn.spectral import SpectralConv2d, fold_spectral_norm
from thg_zoo.nn.warp import sample_candidates, sample_translated, warp
from thg_zoo.nn.winograd import MixedWinogradConv, WinogradConv, use_winograd


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    assert actual.shape == expected.shape
    return float((actual - expected).abs().max() / expected.std())


@torch.inference_mode()
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("size", [(3, 5), (32, 40)])
def test_convolution_of_an_enlarged_map(factor, size):
    conv = nn.Conv2d(6, 5, 3, padding=1)
    x = torch.randn(2, 6, *size)
    expected = conv(F.interpolate(x, scale_factor=float(factor), mode="nearest"))
    assert relative_error(conv_of_nearest(x, conv, factor), expected) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("size", [(2, 3, 4), (4, 16, 18)])
def test_convolution_of_an_enlarged_volume_leaves_the_depth_alone(size):
    conv = nn.Conv3d(6, 5, 3, padding=1)
    x = torch.randn(2, 6, *size)
    expected = conv(F.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="nearest"))
    assert relative_error(conv_of_nearest(x, conv, 2), expected) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_products_of_differences(factor, bias):
    conv = nn.Conv2d(6, 5, 3, padding=1, bias=bias)
    x = torch.randn(2, 6, 5, 7)
    expected = conv(F.interpolate(x, scale_factor=float(factor), mode="nearest"))
    assert relative_error(NearestConv(conv, factor)(x), expected) < 1e-5


@torch.inference_mode()
def test_products_of_differences_in_a_volume():
    conv = nn.Conv3d(6, 5, 3, padding=1)
    x = torch.randn(2, 6, 4, 5, 7)
    expected = conv(F.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="nearest"))
    assert relative_error(NearestConv(conv, 2)(x), expected) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize(("condition", "enlarged"), [((256, 8, 8), True), ((7, 32, 32), False)])
@pytest.mark.parametrize("strip_bytes", [1, 12 * 2**20])
def test_joined_convolutions_of_a_spade_decoder(condition, enlarged, strip_bytes, monkeypatch):
    monkeypatch.setattr(winograd, "_STRIP_BYTES", strip_bytes)
    decoder = SpadeDecoder(condition_channels=condition[0], middle_blocks=1, enlarged=enlarged).eval()
    fold_spectral_norm(decoder)
    features, seen = torch.randn(2, 256, 8, 8), torch.randn(2, *condition)
    expected = decoder(features, seen)
    use_fast_forms(decoder)
    assert isinstance(decoder.up_1, JoinedSpadeResBlock)
    assert relative_error(decoder(features, seen), expected) < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize("size", [(15, 18), (8, 8), (3, 5)])
def test_minimal_filtering_in_strips(size, monkeypatch):
    monkeypatch.setattr(winograd, "_STRIP_BYTES", 1)
    conv = WinogradConv(nn.Conv2d(6, 5, 3, padding=1))
    x = torch.randn(2, 6, *size)
    starts, strips = zip(*winograd.in_strips(conv, x), strict=True)
    assert list(starts) == list(range(0, size[0], 4))
    assert torch.equal(torch.cat(strips, dim=2), conv(x))


@torch.inference_mode()
@pytest.mark.parametrize(("channels", "kernel"), [(1, 7), (3, 7), (3, 3)])
@pytest.mark.parametrize("size", [(16, 24), (15, 18)])
def test_convolution_to_few_channels(channels, kernel, size):
    conv = NarrowConv2d(8, channels, kernel)
    x = torch.randn(2, 8, *size)
    assert relative_error(conv(x), F.conv2d(x, conv.weight, conv.bias, padding=kernel // 2)) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("size", [(64, 64), (13, 18), (1, 1)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_winograd_convolution(size, bias, layout):
    conv = nn.Conv2d(128, 160, 3, padding=1, bias=bias)
    x = torch.randn(2, 128, *size).contiguous(memory_format=layout)
    assert relative_error(WinogradConv(conv)(x), conv(x)) < 3e-5


@torch.inference_mode()
@pytest.mark.parametrize("size", [(4, 16, 16), (1, 5, 9)])
def test_winograd_convolution_of_a_volume(size):
    conv = nn.Conv3d(64, 72, 3, padding=1)
    x = torch.randn(2, 64, *size)
    assert relative_error(WinogradConv(conv)(x), conv(x)) < 3e-5


@torch.inference_mode()
def test_winograd_convolution_with_mixed_kernels():
    kernels, bias = torch.randn(4, 12, 8, 3, 3), torch.randn(2, 12)
    x, shares = torch.randn(2, 8, 9, 6), torch.rand(2, 4)
    actual = MixedWinogradConv(kernels)(x, shares, bias)
    for i, share in enumerate(shares):
        expected = F.conv2d(x[i : i + 1], torch.tensordot(share, kernels, 1), bias[i], padding=1)
        assert relative_error(actual[i : i + 1], expected) < 3e-5


@torch.inference_mode()
def test_winograd_replaces_wide_convolutions_only():
    wide, narrow = ResBlock(128).eval(), ResBlock(64).eval()
    x = torch.randn(1, 128, 16, 16)
    expected = wide(x)
    assert use_winograd(nn.ModuleList([wide, narrow])) == 2
    assert isinstance(wide.conv1, WinogradConv)
    assert type(narrow.conv1) is nn.Conv2d
    assert relative_error(wide(x), expected) < 3e-5


@torch.inference_mode()
def test_folding_spectral_norm_keeps_the_function():
    block = SpadeResBlock(8, 4, 3).eval()
    for conv in block.modules():
        if isinstance(conv, SpectralConv2d):
            conv.weight_u.copy_(F.normalize(torch.randn_like(conv.weight_u), dim=0))
    x, condition = torch.randn(2, 8, 6, 6), torch.randn(2, 3, 12, 12)
    expected = block(x, condition)
    assert fold_spectral_norm(block) == 3
    assert fold_spectral_norm(block) == 0
    assert {type(block.conv_0), type(block.conv_1), type(block.conv_s)} == {nn.Conv2d}
    assert relative_error(block(x, condition), expected) < 1e-5


@torch.inference_mode()
def test_instance_norm_keeps_the_memory_format():
    x = torch.randn(3, 16, 9, 7).contiguous(memory_format=torch.channels_last)
    actual = instance_norm(x)
    assert actual.is_contiguous(memory_format=torch.channels_last)
    assert relative_error(actual, F.instance_norm(x)) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("sources", [1, 3])
def test_candidates_equal_one_sampling_each(sources, align_corners):
    maps = torch.randn(sources, 4, 9, 11)
    motions = torch.rand(3, 5, 9, 11, 2) * 3 - 1.5
    actual = sample_candidates(maps, motions, align_corners=align_corners)
    for frame in range(3):
        picture = maps[frame % sources][None].expand(5, -1, -1, -1)
        expected = F.grid_sample(picture, motions[frame], align_corners=align_corners)
        assert relative_error(actual[frame], expected) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("sources", [1, 2])
def test_translated_volumes_equal_trilinear_sampling(sources):
    volume = torch.randn(sources, 3, 4, 6, 8)
    shift = torch.rand(2, 5, 3) * 3 - 1.5
    shift[0, 0] = 0
    actual = sample_translated(volume, shift)
    grids = coordinate_grid((4, 6, 8), volume) + shift[:, :, None, None, None]
    for frame in range(2):
        source = volume[frame % sources][None].expand(5, -1, -1, -1, -1)
        expected = F.grid_sample(source, grids[frame], align_corners=False)
        assert relative_error(actual[frame], expected) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("entries", [2**21, 100])
def test_attention_in_turns(entries, monkeypatch):
    monkeypatch.setattr(attention, "_ENTRIES_AT_ONCE", entries)
    query, key, value = torch.randn(2, 33, 4), torch.randn(2, 17, 4), torch.randn(2, 17, 6)
    expected = torch.softmax(0.25 * query @ key.mT, dim=2) @ value
    assert relative_error(attention.attend(query, key, value, scale=0.25), expected) < 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 1024, 1031, 1050])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_maps_as_convolutions(rows, bias):
    layer = nn.Linear(7, 5, bias=bias)
    every_second = torch.randn(rows, 14)[:, ::2]
    for x in (every_second, every_second.contiguous(), every_second.mT.contiguous().mT):
        assert relative_error(linear(x, layer.weight, layer.bias), layer(x)) < 1e-5


@torch.inference_mode()
def test_one_source_is_shared_by_all_frames():
    maps, flow = torch.randn(1, 3, 8, 8), torch.rand(4, 5, 5, 2) * 2 - 1
    shared = warp(maps, flow)
    assert torch.equal(shared, warp(maps.repeat(4, 1, 1, 1), flow))
    assert shared.shape == (4, 3, 8, 8)
