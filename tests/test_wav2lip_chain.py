"""Wav2Lip from sound and frames to frames, in the fast form, against what the published program writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from golden_cases import Case, Outputs, check, parametrize
from test_wav2lip_networks import fast_generator
from test_wav2lip_processing import NTSC, rgb
from test_wav2lip_s3fd import enlarged_frames, seeded_network
from thg_zoo.adapters.wav2lip.processing import (
    cut_face,
    fixed_box,
    network_input,
    network_output,
    padded_box,
    paste_face,
    smooth_boxes,
    transform_frame,
)
from thg_zoo.audio.mel import wav2lip_mel_blocks
from thg_zoo.audio.windows import mel_windows
from thg_zoo.faces.s3fd import S3fd

Boxes = list[np.ndarray]


def detected(frames: np.ndarray, pads=(0, 10, 0, 0), smooth=True) -> Boxes:
    detector = S3fd(seeded_network())
    boxes = [padded_box(corners, pads, frames.shape[1:3]) for corners in detector.best(frames)]
    return list(smooth_boxes(boxes)) if smooth else boxes


def talk(wave: np.ndarray, fps: Fraction, frames: Sequence[np.ndarray], boxes: Boxes) -> Tensor:
    """The output frames, BGR [n, H, W, 3]: one face is shared, several are encoded with their frames."""
    generator = fast_generator()
    blocks = np.array_split(wave, 3)
    mel = torch.from_numpy(np.concatenate(list(mel_windows(wav2lip_mel_blocks(blocks), fps))))[:, None]
    faces = torch.from_numpy(np.stack([cut_face(f, b) for f, b in zip(frames, boxes, strict=True)]))
    order = [i % len(frames) for i in range(len(mel))]
    inputs = network_input(faces)
    code = generator.share_face(inputs) if len(frames) == 1 else generator.encode_face(inputs[order])
    moved = network_output(generator.decode(generator.encode_audio(mel), code)).numpy()
    return torch.from_numpy(np.stack([*pasted(frames, boxes, order, moved)])[..., ::-1].copy())


def pasted(frames, boxes, order, moved) -> Iterator[np.ndarray]:
    for i, face in zip(order, moved, strict=True):
        frame = frames[i].copy()
        paste_face(frame, face, boxes[i])
        yield frame


def image_box(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    image = rgb(inputs["image"])
    box = fixed_box((20, 110, 12, 100), image.shape[:2])
    return {"out": talk(inputs["wav"].numpy(), Fraction(25), [image], [box])}


def image_detect(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    image = enlarged_frames(inputs["image"][None])
    boxes = detected(image)
    return {"boxes": np.stack(boxes), "out": talk(inputs["wav"].numpy(), Fraction(25), image, boxes)}


def video(fps: int, *, used: int | None = None, **options) -> Callable[..., Outputs]:
    def run(_: Case, inputs: dict[str, Tensor]) -> Outputs:
        frames = enlarged_frames(inputs["frames"])[:used]
        boxes = detected(frames, **options)
        return {"boxes": np.stack(boxes), "out": talk(inputs["wav"].numpy(), Fraction(fps), frames, boxes)}

    return run


def resize_crop_rotate(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    frames = [transform_frame(f, 2, True, (4, 200, 0, -1)) for f in rgb(inputs["frames"])]
    boxes = [fixed_box((40, 150, 30, 140), f.shape[:2]) for f in frames]
    return {"out": talk(inputs["wav"].numpy(), NTSC, frames, boxes)}


CASES = {
    "chain_image_box": image_box,
    "chain_image_detect": image_detect,
    "chain_video_detect": video(30),
    "chain_video_nosmooth": video(25, pads=(4, 12, 6, 8), smooth=False),
    "chain_video_static": video(25, used=1),
    "chain_video_resize_crop_rotate": resize_crop_rotate,
}


@parametrize(CASES)
def test_chain_matches_published_program(name, runner):
    check("wav2lip", name, runner)
