"""The generator of Wav2Lip, with the published names (Prajwal et al. 2020, github.com/Rudrabha/Wav2Lip).

A U-Net over the face, whose bottleneck is replaced by the speech: the decoder starts from the embedding of
the sound, and what the face encoder saw joins it at every resolution. Colours are BGR in 0..1.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thg_zoo.nn.speech_encoder import ConvBlock, conv_block, residual_conv_blocks, speech_encoder

FACE_SIZE = 96


class Share(NamedTuple):
    """What a face adds to one stage of the decoder, already convolved; see FusionBlock."""

    term: Tensor


# What the decoder needs of faces, stage by stage, coarse to fine: maps of a batch, or the shares of one face.
FaceCode: TypeAlias = tuple[Tensor | Share, ...]


class FusionBlock(ConvBlock):
    """A ConvBlock over the decoder's map concatenated with a skip connection.

    A convolution is linear in its input channels: conv([x, skip]) = conv_x(x) + conv_skip(skip). For a face that
    stays, the second term is computed once, as a `Share`, and every frame convolves its own channels only.
    For faces that change, one convolution of the concatenation is faster than two and a sum.
    """

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d, skip_channels: int) -> None:
        super().__init__(convolution)
        self.skip_channels = skip_channels

    def share(self, skip: Tensor) -> Share:
        """The term of a skip connection, with the bias: [1, skip_channels, h, w] -> [1, out, h', w']."""
        return Share(self._convolve(skip, slice(-self.skip_channels, None), with_bias=True))

    def fuse(self, x: Tensor, skip: Tensor | Share) -> Tensor:
        """[B, in - skip_channels, h, w] and a map of batch B, or a share -> [B, out, h', w']."""
        if not isinstance(skip, Share):
            joined: Tensor = self(torch.cat((x, skip), dim=1))
            return joined
        y = self._convolve(x, slice(None, -self.skip_channels), with_bias=False) + skip.term
        return F.relu(self.conv_block[1](y))

    def _convolve(self, x: Tensor, channels: slice, with_bias: bool) -> Tensor:
        """The convolution restricted to some of its input channels."""
        layer = self.conv_block[0]
        assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
        bias = layer.bias if with_bias else None
        if isinstance(layer, nn.Conv2d):
            return F.conv2d(x, layer.weight[:, channels], bias, layer.stride, layer.padding)
        weight, padding = layer.weight[channels], layer.padding
        return F.conv_transpose2d(x, weight, bias, layer.stride, padding, layer.output_padding)  # type: ignore[arg-type]


def _enlarge(channels: int, skip: int, cout: int) -> FusionBlock:
    """Doubles the resolution of `channels` + `skip` channels."""
    return FusionBlock(nn.ConvTranspose2d(channels + skip, cout, 3, 2, 1, 1), skip)


class Generator(nn.Module):
    """36.3 M parameters: (16 columns of mel spectrogram, a face twice) -> the face with moved lips."""

    # The residual blocks at 24 x 24 and 48 x 48: smaller maps have too few tiles, larger ones too few channels.
    winograd: ClassVar = tuple(f"face_decoder_blocks.{stage}.{i}.conv_block.0" for stage in (4, 5) for i in (1, 2))

    def __init__(self) -> None:
        super().__init__()
        block = nn.Sequential
        self.face_encoder_blocks = nn.ModuleList(
            [
                block(conv_block(6, 16, 7, 1, 3)),  # 96 x 96
                block(conv_block(16, 32, 3, 2), *residual_conv_blocks(32, 2)),  # 48
                block(conv_block(32, 64, 3, 2), *residual_conv_blocks(64, 3)),  # 24
                block(conv_block(64, 128, 3, 2), *residual_conv_blocks(128, 2)),  # 12
                block(conv_block(128, 256, 3, 2), *residual_conv_blocks(256, 2)),  # 6
                block(conv_block(256, 512, 3, 2), *residual_conv_blocks(512, 1)),  # 3
                block(conv_block(512, 512, 3, 1, 0), conv_block(512, 512, 1, 1, 0)),  # 1
            ]
        )
        self.audio_encoder = speech_encoder()
        self.face_decoder_blocks = nn.ModuleList(
            [
                block(conv_block(512, 512, 1, 1, 0)),  # 1
                block(FusionBlock(nn.ConvTranspose2d(1024, 512, 3), 512), *residual_conv_blocks(512, 1)),  # 3
                block(_enlarge(512, 512, 512), *residual_conv_blocks(512, 2)),  # 6
                block(_enlarge(512, 256, 384), *residual_conv_blocks(384, 2)),  # 12
                block(_enlarge(384, 128, 256), *residual_conv_blocks(256, 2)),  # 24
                block(_enlarge(256, 64, 128), *residual_conv_blocks(128, 2)),  # 48
                block(_enlarge(128, 32, 64), *residual_conv_blocks(64, 2)),  # 96
            ]
        )
        self.output_block = block(FusionBlock(nn.Conv2d(80, 32, 3, 1, 1), 16), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    def encode_face(self, face: Tensor) -> FaceCode:
        """[B, 6, 96, 96], the lower half of channels 0-2 masked -> code of B faces."""
        maps: list[Tensor] = []
        for block in self.face_encoder_blocks:
            face = block(face)
            maps.append(face)
        return tuple(reversed(maps))

    def share_face(self, face: Tensor) -> FaceCode:
        """[1, 6, 96, 96] -> code of one face that serves any number of sounds."""
        stages = zip(self._stages(), self.encode_face(face), strict=True)
        return tuple(fusion.share(skip) for (fusion, *_), skip in stages if isinstance(skip, Tensor))

    def encode_audio(self, mel: Tensor) -> Tensor:
        """[B, 1, 80, 16] mel spectrograms in -4..4 -> [B, 512, 1, 1]."""
        embedding: Tensor = self.audio_encoder(mel)
        return embedding

    def decode(self, audio: Tensor, face: FaceCode) -> Tensor:
        """[B, 512, 1, 1] and the code of B faces, or a shared one -> [B, 3, 96, 96] in 0..1."""
        x: Tensor = self.face_decoder_blocks[0](audio)
        for (fusion, *layers), skip in zip(self._stages(), face, strict=True):
            x = fusion.fuse(x, skip)
            for layer in layers:
                x = layer(x)
        return x

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """[B, 1, 80, 16] and [B, 6, 96, 96] -> [B, 3, 96, 96] in 0..1."""
        return self.decode(self.encode_audio(mel), self.encode_face(face))

    def _stages(self) -> list[Any]:
        """The blocks of the decoder that begin where a skip connection joins, coarse to fine."""
        return [*self.face_decoder_blocks[1:], self.output_block]
