"""Where the face is in pictures and videos: 203 points by the authors' landmark network, or the detector's five."""

from __future__ import annotations

from collections.abc import Iterator

from thg_zoo.adapters.liveportrait.crop import Points
from thg_zoo.adapters.liveportrait.landmark_network import LandmarkNetwork, find_in_whole, refine
from thg_zoo.errors import FaceError
from thg_zoo.faces.choose import FaceRule, choose_face
from thg_zoo.faces.detector import Face, FaceDetector
from thg_zoo.faces.track import MissingFace, track_faces
from thg_zoo.inputs import Frame, Source


class FaceFinder:
    """Landmarks of one person: `[203, 2]` with a landmark network, else `[5, 2]`.

    detector: finds the face, and gives the five points from which the network starts.
    """

    def __init__(self, detector: FaceDetector, network: LandmarkNetwork | None) -> None:
        self._detector = detector
        self._network = network

    @property
    def measures(self) -> bool:
        """Whether the points show how far eyes and lips are open."""
        return self._network is not None

    def follow(
        self, source: Source, rule: FaceRule, missing: MissingFace, every: int = 1, otherwise: str = ""
    ) -> Iterator[tuple[Frame, Points | None]]:
        """Of every frame of a video; None where the face is missing and may be. Raises FaceError where it may not, and
        for a picture without one; otherwise: what then helps.
        """
        if source.still:
            frame = source.first()
            face = choose_face(self._detector.detect([frame])[0], rule, source.name, otherwise)
            yield frame, self._points(frame, face)
            return
        tracked = track_faces(
            source.frames(), self._detector, rule, missing, what=source.name, fps=source.fps, every=every
        )
        for frame, tracked_face in tracked:
            yield frame, None if tracked_face is None else self._points(frame, tracked_face)

    def uncropped(self, frame: Frame) -> Points | None:
        """Of a frame that the face fills, without looking for it; None where only a detector is there."""
        return None if self._network is None else find_in_whole(self._network, frame)

    def _points(self, frame: Frame, face: Face) -> Points:
        if face.points is None:
            raise FaceError("The detector gives no landmarks.", "Use another detector.")
        if self._network is None:
            return face.points
        # Five points only say roughly where the outline is: a second look starts from the outline itself.
        return refine(self._network, frame, refine(self._network, frame, face.points))
