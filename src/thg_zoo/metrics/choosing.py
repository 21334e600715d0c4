"""Which meters a measurement needs, and why others cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from thg_zoo.audio.mfcc import pcm16
from thg_zoo.errors import WeightsError
from thg_zoo.faces.detector import Face
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.inputs import Source
from thg_zoo.media.audio import Audio, audio_blocks, read_audio
from thg_zoo.metrics import fidelity
from thg_zoo.metrics.catalogue import METRICS
from thg_zoo.metrics.fan_landmarks import load_fan_landmarks
from thg_zoo.metrics.identity import Embedder, Identity
from thg_zoo.metrics.landmarks import FaceLandmarkFinder, FivePoints, Jitter, LandmarkFinder, Landmarks68
from thg_zoo.metrics.meter import Meter, Skip
from thg_zoo.metrics.mouth import LOUDNESS_RATE, MouthMeter
from thg_zoo.metrics.seam import Seam
from thg_zoo.metrics.sharpness import Cpbd, Niqe
from thg_zoo.metrics.sync import SAMPLE_RATE, SyncMeter
from thg_zoo.metrics.syncnet_weights import load_syncnet

_SAME_SHAPE = 0.02


@dataclass(frozen=True)
class Material:
    """What there is to measure with: see `thg_zoo.metrics.evaluate.evaluate`. fetch: whether large weights of networks
    are downloaded for metrics.
    """

    video: Source
    source: Source | None
    reference: Source | None
    audio: Path | Audio | None
    weights: str | Path | None
    accept_licence: bool
    landmarks: LandmarkFinder | None
    embedder: Embedder | None
    device: torch.device
    seed: int
    fetch: bool


def build_meters(names: Sequence[str], material: Material) -> tuple[list[Meter], dict[str, str]]:
    """Meters for as many of `names` as can be had, and the reasons for the others."""
    meters: list[Meter] = []
    skipped: dict[str, str] = {}
    for metrics, build in _BUILDERS:
        wanted = [name for name in metrics if name in names]
        reason = _no_reference(material)
        if reason and wanted:
            skipped |= {name: reason for name in wanted if METRICS[name].reference}
            wanted = [name for name in wanted if not METRICS[name].reference]
        if not wanted:
            continue
        try:
            meters.append(build(material))
        except Skip as problem:
            skipped |= dict.fromkeys(wanted, str(problem))
        else:
            missing = [name for name in wanted if name not in meters[-1].names]
            skipped |= dict.fromkeys(missing, "there is no face in the source")
    return meters, skipped


def same_shape(video: Source, reference: Source) -> bool:
    """Whether two videos have the same proportions, up to rounding: else one was cut differently."""
    (height, width), (tall, wide) = video.size, reference.size
    return abs(width * tall / (height * wide) - 1) < _SAME_SHAPE


def _no_reference(material: Material) -> str:
    if material.reference is None:
        return "no reference video was given"
    if not same_shape(material.video, material.reference):
        own, other = material.video.size, material.reference.size
        return f"the reference is cut differently: {other[1]} x {other[0]} instead of {own[1]} x {own[0]}"
    return ""


def _sync(material: Material) -> Meter:
    sound = _sound(material)
    try:
        network = load_syncnet(
            material.weights, material.device, accept_licence=material.accept_licence, seed=material.seed
        )
    except WeightsError as error:
        raise Skip(str(error)) from error
    samples = pcm16(read_audio(sound, SAMPLE_RATE).samples)
    assert material.video.fps is not None
    return SyncMeter(network, samples, material.video.fps, material.device)


def _mouth(material: Material) -> Meter:
    assert material.video.fps is not None
    return MouthMeter(audio_blocks(_sound(material), LOUDNESS_RATE), material.video.fps)


def _sound(material: Material) -> Path | Audio:
    if material.audio is None:
        raise Skip("there is no sound")
    return material.audio


def _seam(material: Material) -> Meter:
    if material.source is None or not material.source.still:
        raise Skip("it is defined for a picture as source")
    if material.source.size != material.video.size:
        raise Skip("the frames are not the source's picture with a part replaced: they have another size")
    return Seam(material.source.first())


def _landmarks(material: Material) -> Meter:
    assert material.video.fps is not None
    return Landmarks68(_finder(material), material.video.fps, material.reference is not None)


def _finder(material: Material) -> FaceLandmarkFinder:
    own = material.landmarks
    if own is not None:
        return lambda frames, _: own(frames)
    try:
        return load_fan_landmarks(
            material.weights,
            material.device,
            fetch=material.fetch,
            accept_licence=material.accept_licence,
            seed=material.seed,
        )
    except WeightsError as error:
        raise Skip(str(error)) from error


def _identity(material: Material) -> Meter:
    if material.embedder is None:
        raise Skip("needs a network that tells people apart (ArcFace), which is not bundled")
    source = None
    if material.source is not None:
        picture = material.source.first()
        faces: list[Face] = Mtcnn(material.device).detect([picture])[0]
        source = (picture, faces[0]) if faces else None
    return Identity(material.embedder, source, material.reference is not None)


def _per_frame(name: str, compare: Callable[..., float]) -> tuple[tuple[str, ...], Callable[[Material], Meter]]:
    return (name,), lambda material: fidelity.FrameMeter(name, compare)  # noqa: ARG005 (all builders take it)


_BUILDERS: tuple[tuple[tuple[str, ...], Callable[[Material], Meter]], ...] = (
    _per_frame("psnr", fidelity.psnr),
    _per_frame("ssim", fidelity.ssim),
    _per_frame("ms_ssim", fidelity.ms_ssim),
    _per_frame("l1", fidelity.l1),
    (("lpips",), lambda material: fidelity.lpips_meter(material.device)),
    (("fid",), lambda material: fidelity.fid_meter(material.device)),
    (FivePoints.names, lambda material: FivePoints()),  # noqa: ARG005
    (Landmarks68.names, _landmarks),
    (("csim", "identity"), _identity),
    (SyncMeter.names, _sync),
    (MouthMeter.names, _mouth),
    (Niqe.names, lambda material: Niqe(material.device)),
    (Cpbd.names, lambda material: Cpbd()),  # noqa: ARG005
    (Jitter.names, lambda material: Jitter()),  # noqa: ARG005
    (Seam.names, _seam),
)
