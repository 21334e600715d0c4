"""Which detector looks at a video, at which size of its frames, and at which of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from thg_zoo.adapters.wav2lip.options import Wav2LipOptions
from thg_zoo.errors import DeviceError
from thg_zoo.faces.choose import FaceRule, rule_of
from thg_zoo.faces.detector import Face, FaceDetector, Picture
from thg_zoo.faces.mtcnn import Mtcnn
from thg_zoo.faces.reduced import Reduced
from thg_zoo.faces.s3fd import S3fd, S3fdNetwork
from thg_zoo.faces.track import track_faces
from thg_zoo.runtime import Runtime, is_out_of_memory

# Frames that wait for the detector, and pixels that go through S3FD at once.
_CHUNK = {"cpu": 4, "cuda": 16, "mps": 8}
_PIXELS = {"cpu": 1 << 20, "cuda": 1 << 24, "mps": 1 << 22}


class Published:
    """S3FD with the program's rule, the likeliest face of each picture and no other, or with all faces.

    The likeliest one's box is as the network gives it: it may reach out of the picture.
    """

    def __init__(self, network: S3fdNetwork, runtime: Runtime, best_only: bool) -> None:
        self._runtime = runtime
        self._best_only = best_only
        self._s3fd = S3fd(network, runtime.device, _PIXELS[runtime.device.type])

    def detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        """See `FaceDetector`. As published, batches are halved until they fit into memory."""
        while True:
            try:
                with self._runtime.autocast():
                    return self._detect(images)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(images, error)

    def _detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        if not self._best_only:
            return self._s3fd.detect(images)
        return [[] if box is None else [Face(box, None, 1.0)] for box in self._s3fd.best(images)]

    def _shrink(self, images: Sequence[Picture] | Picture, error: BaseException) -> None:
        pixels = max(image.shape[0] * image.shape[1] for image in images)
        if self._s3fd.batch_pixels < 2 * pixels:
            raise DeviceError(
                f"The face detector has no room for one frame in the memory of {self._runtime.device}.",
                "Reduce the frames for it (detect_size=960), take detector=mtcnn, or --device cpu.",
            ) from error
        self._s3fd.batch_pixels = min(self._s3fd.batch_pixels, len(images) * pixels) // 2


class LikeliestOnly:
    """Another detector, of whose faces the first one counts."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector

    def detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        return [faces[:1] for faces in self._detector.detect(images)]


class Looks:
    """Another detector, on one pass over a video: what an earlier pass has `seen` it does not look at again."""

    def __init__(self, detector: FaceDetector, seen: list[list[Face]]) -> None:
        self._detector = detector
        self._seen = seen
        self._next = 0

    def detect(self, images: Sequence[Picture] | Picture) -> list[list[Face]]:
        start, self._next = self._next, self._next + len(images)
        unseen = images[max(0, len(self._seen) - start) :]
        if len(unseen):
            self._seen += self._detector.detect(unseen)
        return self._seen[start : self._next]


def make_detector(options: Wav2LipOptions, network: S3fdNetwork, runtime: Runtime) -> FaceDetector:
    """The detector that the options describe; `network` is S3FD's, ready on the device."""
    best_only = options.face == "best"
    detector: FaceDetector
    if options.detector == "s3fd":
        detector = Published(network, runtime, best_only)
    else:
        detector = LikeliestOnly(Mtcnn(runtime.device)) if best_only else Mtcnn(runtime.device)
    return Reduced(detector, options.detect_size) if options.detect_size else detector


def find_faces(
    frames: Iterator[Picture], detector: FaceDetector, options: Wav2LipOptions, device: str
) -> Iterator[tuple[Picture, Face | None]]:
    """Every frame with its face, if it shows one.

    Where the likeliest face of every frame is wanted, frames are independent, as published. Otherwise one person is
    followed (see `track_faces`), and gaps of a few frames are interpolated.
    """
    if options.follows:
        yield from track_faces(
            *(frames, detector, _rule(options), "pass"), window=1, every=options.detect_every, batch=_CHUNK[device]
        )
        return
    while chunk := list(itertools.islice(frames, _CHUNK[device])):
        for frame, faces in zip(chunk, detector.detect(chunk), strict=True):
            yield frame, faces[0] if faces else None


def _rule(options: Wav2LipOptions) -> FaceRule:
    """The option `face` as `choose_face` takes it. A detector of the likeliest face alone suits any rule."""
    return rule_of("largest" if options.face == "best" else options.face)
