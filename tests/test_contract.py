"""What every model has to fulfil, run over the whole registry.

Networks get random weights, so nothing is downloaded; what the frames show does not matter here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import thg_zoo
from thg_zoo.adapter import Adapter
from thg_zoo.errors import Cancelled, DeviceError, MediaError, OptionError, UsageError
from thg_zoo.inputs import Clip
from thg_zoo.media.audio import Audio
from thg_zoo.media.image import read_image
from thg_zoo.options import OptionInfo
from thg_zoo.run import Progress
from thg_zoo.zoo import describe, list_models

# Options that keep a model with random networks runnable and fast.
_SMALL = {"size": "128", "crop": "none", "driver_crop": "none"}
QUICK: dict[str, dict[str, Any]] = {
    "wav2lip": {"detector": "mtcnn"},
    "fomm": _SMALL,
    "dagan": _SMALL,
    "facevid2vid": _SMALL,
    "mcnet": {"crop": "none", "driver_crop": "none"},
    "sadtalker": {"size": "128"},
    "iplap": {"landmarks": "template", "references": 1},
    "audio2head": {"crop": "none"},
    "pirender": {"crop": "none", "driver_crop": "none"},
    "lia": {"crop": "none", "driver_crop": "none"},
}
# Models whose frames take seconds: their driving video has so many.
FEW = {"fomm": 2, "dagan": 2, "mcnet": 2, "facevid2vid": 2, "liveportrait": 2, "pirender": 2, "lia": 2}
# Models that are covered with `-m slow` alone.
SLOW = {"dagan", "mcnet", "facevid2vid", "sadtalker", "liveportrait", "iplap", "pirender", "audio2head", "lia"}
# Grey levels by which frames of different batch sizes may differ: matrix products round by shape.
ROUNDING: dict[str, int] = {
    "wav2lip": 1,
    "fomm": 1,
    "dagan": 1,
    "mcnet": 1,
    "facevid2vid": 1,
    "sadtalker": 1,
    "liveportrait": 1,
    "iplap": 1,
    "audio2head": 1,
    "pirender": 1,
    "lia": 1,
}

# One variant of each card: the others are the same networks with other weights.
NAMES = [next(iter(spec.variants)) for spec in {model.spec.name: model.spec for model in list_models()}.values()]


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in NAMES],
)
def model(request: pytest.FixtureRequest) -> Adapter[Any, Any]:
    return load(request.param)


def load(name: str, **arguments: Any) -> Adapter[Any, Any]:
    weights = "random" if describe(name).variant.files else None
    return thg_zoo.load(name, weights=weights, device="cpu", **arguments)


@pytest.fixture
def drivers(model: Adapter[Any, Any], face: NDArray[np.uint8], face_clip: Clip, short_speech: Audio) -> dict[str, Any]:
    video = Clip(face_clip.frames[: FEW.get(model.spec.name)], face_clip.fps)
    return {"audio": short_speech, "video": video, "image": face}


def quick(model: Adapter[Any, Any]) -> dict[str, Any]:
    return QUICK.get(model.spec.name, {})


def test_frames_of_every_driver(model: Adapter[Any, Any], face: NDArray[np.uint8], drivers: dict[str, Any]) -> None:
    portrait = model.prepare(face, **quick(model))
    for kind in set(model.spec.drivers) & set(drivers):
        animation = portrait.animate(drivers[kind])
        frames = animation.to_array()
        assert frames.dtype == np.uint8
        assert frames.shape[0] == animation.n_frames >= 1
        assert frames.shape[3] == 3
        assert animation.fps > 0


def test_audio_is_covered(model: Adapter[Any, Any], face: NDArray[np.uint8], short_speech: Audio) -> None:
    if "audio" not in model.spec.drivers:
        pytest.skip("not driven by audio")
    animation = model.animate(face, short_speech, **quick(model))
    assert animation.n_frames / animation.fps >= short_speech.duration - 4 / animation.fps
    assert animation.audio is not None


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batch_equals_single(
    model: Adapter[Any, Any], face: NDArray[np.uint8], drivers: dict[str, Any], batch_size: int
) -> None:
    driver = drivers[model.spec.drivers[0]]
    expected = model.animate(face, driver, **quick(model)).to_array()
    found = load(model.model.name, batch_size=batch_size).animate(face, driver, **quick(model)).to_array()
    assert np.abs(found.astype(int) - expected).max() <= ROUNDING.get(model.spec.name, 0)


def test_streaming_equals_whole(
    model: Adapter[Any, Any], face: NDArray[np.uint8], drivers: dict[str, Any], tmp_path: Path
) -> None:
    animation = model.animate(face, drivers[model.spec.drivers[0]], **quick(model))
    whole = animation.to_array()
    assert np.array_equal(np.stack(list(animation)), whole)
    folder = animation.save(tmp_path / "frames")
    written = np.stack([read_image(path) for path in sorted(folder.glob("*.png"))])
    assert np.array_equal(written, whole)


def test_a_prepared_source_serves_many_drivers(
    model: Adapter[Any, Any], face: NDArray[np.uint8], drivers: dict[str, Any]
) -> None:
    portrait = model.prepare(face, **quick(model))
    driver = drivers[model.spec.drivers[0]]
    expected = model.animate(face, driver, **quick(model)).to_array()
    for _ in range(2):
        assert np.array_equal(portrait.animate(driver).to_array(), expected)


def test_video_sources(model: Adapter[Any, Any], face_clip: Clip, drivers: dict[str, Any]) -> None:
    driver = drivers[model.spec.drivers[0]]
    if "video" not in model.spec.sources:
        with pytest.raises(MediaError, match="video"):
            model.prepare(face_clip, **quick(model))
        return
    animation = model.animate(face_clip, driver, **quick(model))
    assert animation.to_array().shape[0] == animation.n_frames


def test_wrong_drivers_are_refused(model: Adapter[Any, Any], face: NDArray[np.uint8], drivers: dict[str, Any]) -> None:
    portrait = model.prepare(face, **quick(model))
    for kind in set(drivers) - set(model.spec.drivers):
        with pytest.raises(MediaError):
            portrait.animate(drivers[kind])
    with pytest.raises(UsageError, match="smell"):
        portrait.animate(drivers[model.spec.drivers[0]], drive_by="smell")


def test_the_seed_decides(model: Adapter[Any, Any], face: NDArray[np.uint8], drivers: dict[str, Any]) -> None:
    driver = drivers[model.spec.drivers[0]]
    first = model.animate(face, driver, seed=3, **quick(model)).to_array()
    assert np.array_equal(model.animate(face, driver, seed=3, **quick(model)).to_array(), first)


def test_progress_ends_with_all_frames(
    model: Adapter[Any, Any], face: NDArray[np.uint8], drivers: dict[str, Any]
) -> None:
    seen: list[Progress] = []
    animation = model.animate(face, drivers[model.spec.drivers[0]], progress=seen.append, **quick(model))
    animation.to_array()
    assert (seen[-1].stage, seen[-1].done) == ("render", animation.n_frames)
    assert seen[0].stage == "prepare"


def test_cancellation_leaves_nothing(
    model: Adapter[Any, Any], face: NDArray[np.uint8], drivers: dict[str, Any], tmp_path: Path
) -> None:
    # Stops at the second rendered frame, after the calls of the preparation.
    calls = iter([False] * 4)
    driver = drivers[model.spec.drivers[0]]
    with pytest.raises(Cancelled):
        load(model.model.name, batch_size=1).animate(
            face, driver, cancel=lambda: next(calls, True), **quick(model)
        ).save(tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_options_are_checked(model: Adapter[Any, Any]) -> None:
    for option in model.model.options:
        assert option.help
        assert getattr(model.model.resolve({option.name: option.default}), option.name) == option.default
        for wrong in _refused_values(option):
            with pytest.raises(OptionError, match=option.name):
                model.model.resolve({option.name: wrong})
    with pytest.raises(OptionError, match="no_such_option"):
        model.model.resolve({"no_such_option": 1})


def _refused_values(option: OptionInfo) -> list[Any]:
    single = not isinstance(option.default, tuple)
    beyond = [option.low - 1] if option.low is not None and single else []
    beyond += [option.high + 1] if option.high is not None and single else []
    return [*beyond, *(["no such choice"] if option.choices else []), object()]


def test_devices_are_never_switched_silently(model: Adapter[Any, Any]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match="cuda"):
        thg_zoo.load(model.model.name, weights="random", device="cuda")


def test_reports_say_what_was_done(
    model: Adapter[Any, Any], face: NDArray[np.uint8], drivers: dict[str, Any], tmp_path: Path
) -> None:
    animation = model.animate(face, drivers[model.spec.drivers[0]], seed=5, **quick(model))
    animation.save(tmp_path / "out.gif", report=tmp_path / "out.json")
    report = animation.report
    assert report is not None
    assert (report.model, report.seed, report.frames) == (model.spec.name, 5, animation.n_frames)
    assert (tmp_path / "out.json").read_text(encoding="utf-8") == report.to_json()
    assert len(report.weights) >= bool(model.model.variant.files)
