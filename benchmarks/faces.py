"""How many faces a detector finds, and how fast: prints the table of docs/faces.md.

    python benchmarks/faces.py PICTURES [--without FOLDER] [--device cpu] [--threads 2]

PICTURES is a folder of pictures with at least one face each; --without one of pictures without any. Variants
are made from each picture. The largest face found in the picture itself is followed into each variant, where a
face counts as found if some detection's centre lies inside it. A picture in which nothing is found counts as
missed in every variant.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps

from thg_zoo.faces.boxes import areas
from thg_zoo.faces.choose import choose_face
from thg_zoo.faces.detector import Face, FaceDetector, Picture
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.transforms import Matrix, apply, warp_crop
from thg_zoo.faces.upright import AnyTurn

Variant = Callable[[Picture, Face], tuple[Picture, Matrix]]


def rotated(degrees: float) -> Variant:
    def make(picture: Picture, _: Face) -> tuple[Picture, Matrix]:
        h, w = picture.shape[:2]
        matrix = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), degrees, 1.0)
        corners = apply(matrix, [[0, 0], [w, 0], [w, h], [0, h]])
        matrix[:, 2] -= corners.min(axis=0)
        width, height = np.ceil(np.ptp(corners, axis=0)).astype(int)
        return warp_crop(picture, matrix, (int(height), int(width)), "black"), matrix

    return make


def scaled(scale: Callable[[Picture, Face], float]) -> Variant:
    def make(picture: Picture, face: Face) -> tuple[Picture, Matrix]:
        s = scale(picture, face)
        h, w = picture.shape[:2]
        matrix = np.array([[s, 0, (s - 1) / 2], [0, s, (s - 1) / 2]])
        return warp_crop(picture, matrix, (max(1, round(h * s)), max(1, round(w * s)))), matrix

    return make


def in_place(change: Callable[[Picture], Picture]) -> Variant:
    return lambda picture, _: (change(picture), np.eye(3)[:2])


def framed(picture: Picture, face: Face) -> tuple[Picture, Matrix]:
    """The face 40 pixels wide in a 512 x 512 picture."""
    _, matrix = scaled(lambda _, f: 40 / float(f.box[2] - f.box[0]))(picture, face)
    shift = np.array([256.0, 256.0]) - apply(matrix, face.box.reshape(2, 2).mean(axis=0))
    matrix = matrix + np.column_stack([np.zeros((2, 2)), shift])
    return warp_crop(picture, matrix, (512, 512)), matrix


def greyscale(picture: Picture) -> Picture:
    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


VARIANTS: dict[str, Variant] = {
    "rotated 15": rotated(15),
    "rotated -15": rotated(-15),
    "rotated 30": rotated(30),
    "rotated -30": rotated(-30),
    "rotated 90": rotated(90),
    "rotated 180": rotated(180),
    "dark (x 0.25)": in_place(lambda p: (p * 0.25).astype(np.uint8)),
    "greyscale": in_place(greyscale),
    "face 40 px in 512": framed,
    "longer side 3000": scaled(lambda p, _: 3000 / max(p.shape[:2])),
    "longer side 256": scaled(lambda p, _: 256 / max(p.shape[:2])),
}


def read(folder: Path) -> dict[str, Picture]:
    names = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp"})
    return {p.name: np.asarray(ImageOps.exif_transpose(Image.open(p)).convert("RGB")) for p in names}


def holds(face: Face, matrix: Matrix, found: Sequence[Face]) -> bool:
    """Whether a detection's centre lies in the face, carried along by `matrix`."""
    centre = apply(matrix, face.box.reshape(2, 2).mean(axis=0))
    radius = np.sqrt(areas(face.box) * abs(np.linalg.det(matrix[:, :2]))) / 2
    return any(np.linalg.norm(f.box.reshape(2, 2).mean(axis=0) - centre) < radius for f in found)


def timed(detector: FaceDetector, pictures: Sequence[Picture]) -> tuple[list[list[Face]], float]:
    """Results of pictures one at a time, and the median of milliseconds for each."""
    results, times = [], []
    for picture in pictures:
        start = time.perf_counter()
        results += detector.detect([picture])
        times.append(1000 * (time.perf_counter() - start))
    return results, float(np.median(times))


def measure(detector: FaceDetector, pictures: dict[str, Picture], without: dict[str, Picture]) -> list[str]:
    """The table's rows: variant, found, ms per picture."""
    timed(detector, list(pictures.values())[:1])
    found, ms = timed(detector, list(pictures.values()))
    missed = [name for name, faces in zip(pictures, found, strict=True) if not faces]
    rows = [f"| as they are | {len(pictures) - len(missed)} / {len(pictures)} | {ms:.0f} |"]
    known = [(p, choose_face(f, "largest", n)) for (n, p), f in zip(pictures.items(), found, strict=True) if f]
    for name, make in VARIANTS.items():
        made = [make(picture, face) for picture, face in known]
        results, ms = timed(detector, [picture for picture, _ in made])
        hits = sum(holds(face, m, r) for (_, face), (_, m), r in zip(known, made, results, strict=True))
        rows.append(f"| {name} | {hits} / {len(pictures)} | {ms:.0f} |")
    if without:
        results, ms = timed(detector, list(without.values()))
        false = [f"{name} ({len(f)})" for name, f in zip(without, results, strict=True) if f]
        rows.append(f"| pictures without faces: false | {len(false)} / {len(without)} | {ms:.0f} |")
        rows.append(f"\nFalse in: {', '.join(false) or 'none'}.")
    rows.append(f"\nMissed as they are: {', '.join(missed) or 'none'}.")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--without", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pictures = read(options.pictures)
    without = read(options.without) if options.without else {}
    mtcnn = Mtcnn(options.device)
    for title, detector in (("MTCNN", mtcnn), ("MTCNN, any turn", AnyTurn(mtcnn))):
        print(f"\n{title} on {options.device}, {options.threads} threads\n\n| pictures | found | ms |\n|---|---|---|")
        print("\n".join(measure(detector, pictures, without)))


if __name__ == "__main__":
    main()
