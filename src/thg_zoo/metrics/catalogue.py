"""Which metrics there are: names, directions, what they need. Light: no numpy, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thg_zoo.errors import UsageError, nearest

HIGHER, LOWER, ZERO, NEITHER = "higher", "lower", "zero", "none"


@dataclass(frozen=True)
class Metric:
    """One metric. better: `higher`, `lower`, `zero` (closest to it), or `none` (compare with real video); unit: of its
    value, empty for a plain number; reference: whether it compares with a reference video."""

    title: str
    better: str
    unit: str
    summary: str
    reference: bool = False

    @property
    def arrow(self) -> str:
        """The direction as tables show it."""
        return {HIGHER: "↑", LOWER: "↓", ZERO: "→0", NEITHER: ""}[self.better]


METRICS = {
    "psnr": Metric("PSNR", HIGHER, "dB", "peak signal-to-noise ratio", reference=True),
    "ssim": Metric("SSIM", HIGHER, "", "structural similarity", reference=True),
    "ms_ssim": Metric("MS-SSIM", HIGHER, "", "structural similarity over five scales", reference=True),
    "l1": Metric("L1", LOWER, "", "mean absolute difference, levels in 0..1", reference=True),
    "lpips": Metric("LPIPS", LOWER, "", "distance of AlexNet features", reference=True),
    "fid": Metric("FID", LOWER, "", "distance of the distributions of Inception features", reference=True),
    "akd5": Metric("AKD-5", LOWER, "px of 256", "distance of five face points", reference=True),
    "lmd5": Metric("LMD-5", LOWER, "% of eye distance", "the same with the faces centred", reference=True),
    "akd": Metric("AKD", LOWER, "px of 256", "distance of 68 face landmarks", reference=True),
    "lmd": Metric("LMD", LOWER, "% of eye distance", "distance of 68 landmarks, faces centred", reference=True),
    "m_lmd": Metric(
        "M-LMD", LOWER, "% of eye distance", "distance of 20 mouth landmarks, mouths centred", reference=True
    ),
    "csim": Metric("CSIM", HIGHER, "", "likeness of the identity to the reference", reference=True),
    "identity": Metric("identity", HIGHER, "", "likeness of the identity to the source"),
    "lse_c": Metric("LSE-C", HIGHER, "", "confidence of SyncNet"),
    "lse_d": Metric("LSE-D", LOWER, "", "distance of SyncNet's embeddings"),
    "av_offset": Metric("AV offset", ZERO, "frames of 1/25 s", "by how much the sound is early"),
    "lip_loudness": Metric("lip-loudness", HIGHER, "", "correlation of mouth opening and loudness"),
    "niqe": Metric("NIQE", LOWER, "", "distance to the statistics of natural pictures"),
    "cpbd": Metric("CPBD", HIGHER, "", "share of edges without visible blur"),
    "jitter": Metric("jitter", LOWER, "% of eye distance", "trembling of the face points"),
    "seam": Metric("seam", LOWER, "levels of 255", "edges where the pasted part begins"),
    "ear": Metric("EAR", NEITHER, "", "eye aspect ratio"),
    "blink_rate": Metric("blinks", NEITHER, "per minute", "how often the eyes close"),
}


def check_names(names: Sequence[str] | None) -> tuple[str, ...]:
    """The metrics asked for: all if None. Raises UsageError for an unknown one."""
    if names is None:
        return tuple(METRICS)
    for name in names:
        if name not in METRICS:
            raise UsageError(f"There is no metric {name!r}.", nearest(name, METRICS))
    return tuple(dict.fromkeys(names))
