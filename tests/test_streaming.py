"""The streaming loop: order, batches, pictures and videos alike, memory that runs out, errors, cancellation."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from thg_zoo import clip, streaming
from thg_zoo.errors import Cancelled, DeviceError, OptionError, UsageError
from thg_zoo.inputs import Clip
from thg_zoo.motion import MotionStream
from thg_zoo.run import Progress
from thg_zoo.runtime import is_out_of_memory
from thg_zoo.timing import extended_index
from toy import ToyAdapter, toy

SILENCE = (np.zeros(16000, np.float32), 16000)


def picture(level: int = 10) -> NDArray[np.uint8]:
    return np.full((32, 48, 3), level, np.uint8)


def numbered_clip(n: int, fps: int = 25) -> Clip:
    """Frame k is of level 100 + k throughout."""
    return clip(np.stack([picture(100 + k) for k in range(n)]), fps)


def levels(frames: NDArray[np.uint8]) -> list[int]:
    """The level of each frame, which has to be flat."""
    assert (frames == frames[:, :1, :1, :1]).all()
    return [int(v) for v in frames[:, 0, 0, 0]]


def test_a_picture_is_encoded_once_and_repeats() -> None:
    model = toy(batch_size=8)
    portrait = model.prepare(picture())
    for _ in range(2):
        frames = portrait.animate(SILENCE).to_array()
        assert frames.shape == (25, 32, 48, 3)
        assert levels(frames) == [10 + i for i in range(25)]
    assert portrait.identity.encoded == [1]
    assert portrait.identity.tracked == [0]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("look_ahead", [0, 5])
@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
def test_frames_do_not_depend_on_batches(batch_size: int, look_ahead: int, lazy: bool) -> None:
    model = toy(batch_size=batch_size)
    animation = model.animate(numbered_clip(25), SILENCE, lazy=lazy, look_ahead=look_ahead)
    assert levels(animation.to_array()) == [100 + 2 * i for i in range(25)]
    assert model.rendered == [batch_size] * (25 // batch_size) + [25 % batch_size] * bool(25 % batch_size)


@pytest.mark.parametrize(
    ("rule", "order"),
    [
        ("loop", [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
        ("ping-pong", [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]),
        ("mirror", [0, 1, 2, 3, 3, 2, 1, 0, 0, 1]),
        ("hold", [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]),
        ("cut", [0, 1, 2, 3]),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_a_short_video_goes_on_by_its_rule(rule: str, order: list[int], batch_size: int) -> None:
    model = toy(batch_size=batch_size)
    sound = (np.zeros(6400, np.float32), 16000)
    animation = model.animate(numbered_clip(4), sound, extend=rule)
    assert animation.n_frames == len(order)
    assert levels(animation.to_array()) == [100 + k + i for i, k in enumerate(order)]


@pytest.mark.parametrize("rule", ["ping-pong", "mirror"])
def test_a_long_video_comes_back_whole(rule: str) -> None:
    """Longer than the chunks in which a reversed pass is decoded."""
    n = 70
    frames = clip(np.stack([picture(k) for k in range(n)]), 25)
    driver = (np.zeros(16000 * 6, np.float32), 16000)
    found = levels(toy().animate(frames, driver, extend=rule).to_array())
    expected = [extended_index(i, n, rule) + i % 64 for i in range(150)]
    assert found == expected


def test_a_video_is_tracked_once_for_all_passes_and_drivers() -> None:
    portrait = toy().prepare(numbered_clip(4), look_ahead=2)
    first = levels(portrait.animate(SILENCE).to_array())
    assert levels(portrait.animate(SILENCE).to_array()) == first
    assert portrait.identity.tracked == [0, 1, 2, 3]


def test_an_unfinished_first_pass_is_begun_again() -> None:
    portrait = toy(batch_size=2).prepare(numbered_clip(10))
    frames = portrait.animate(SILENCE).frames()
    next(frames)
    frames.close()
    assert levels(portrait.animate(SILENCE).to_array())[:4] == [100, 102, 104, 106]


def test_source_frames_are_chosen_by_time() -> None:
    """A 50 Hz source under a driver that sets the toy to 50 Hz; a 25 Hz picture clip repeats nothing."""
    animation = toy().animate(numbered_clip(10, fps=50), (np.zeros(3200, np.float32), 16000))
    assert animation.fps == 50
    assert levels(animation.to_array()) == [100 + 2 * i for i in range(10)]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_frames_without_a_person_pass_unchanged(batch_size: int) -> None:
    found = levels(toy(batch_size=batch_size).animate(numbered_clip(5), SILENCE, hide=2, extend="cut").to_array())
    assert found == [100, 102, 102, 106, 108]


def test_batches_are_halved_until_they_fit() -> None:
    model = toy(batch_size=16)
    model.memory = 5
    animation = model.animate(numbered_clip(25), SILENCE)
    assert levels(animation.to_array()) == [100 + 2 * i for i in range(25)]
    assert max(model.rendered) == 4


def test_a_smaller_batch_finds_the_memory_of_the_failed_one_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the failed batch had made is gone when the device is asked to give its memory back."""
    render, made, free = ToyAdapter.render, list[weakref.ref[torch.Tensor]](), list[bool]()

    def keep(self: ToyAdapter, *arguments: Any) -> torch.Tensor:
        intermediate = torch.zeros(4)
        made.append(weakref.ref(intermediate))
        return render(self, *arguments)

    monkeypatch.setattr(ToyAdapter, "render", keep)
    monkeypatch.setattr(ToyAdapter, "memory", 5)
    monkeypatch.setattr(streaming, "release", lambda: free.append(made[-1]() is None))
    toy(batch_size=16).animate(picture(), SILENCE).to_array()
    assert free == [True, True]


def test_the_allocators_own_words_for_used_up_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


def test_an_error_in_the_source_ends_the_driver_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even while somebody still holds the error, and with it everything that was going on."""
    ended = []

    def fail(*_: object) -> Iterator[Any]:
        raise ValueError("no face")
        yield

    def pieces() -> Iterator[Any]:
        try:
            while True:
                yield {"step": torch.zeros(3)}
        finally:
            ended.append(True)

    monkeypatch.setattr(ToyAdapter, "track", fail)
    animation = toy().prepare(numbered_clip(4)).animate(SILENCE)
    animation.motion = MotionStream(pieces, Fraction(25), 100)
    with pytest.raises(ValueError, match="no face") as raised:
        animation.to_array()
    assert ended, raised


def test_a_frame_that_never_fits_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyAdapter, "memory", 0)
    with pytest.raises(DeviceError, match="single frame"):
        toy(batch_size=4).animate(picture(), SILENCE).to_array()


def test_other_errors_are_not_taken_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(ToyAdapter, "render", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        toy().animate(picture(), SILENCE).to_array()


def test_progress_counts_every_frame() -> None:
    seen: list[Progress] = []
    toy(batch_size=8).animate(picture(), SILENCE, progress=seen.append).to_array()
    assert [p.done for p in seen if p.stage == "render"] == [8, 16, 24, 25]
    assert {p.total for p in seen if p.stage == "render"} == {25}


def test_cancellation_stops_between_batches() -> None:
    stop = threading.Event()
    frames = toy(batch_size=5).animate(picture(), SILENCE, cancel=stop.is_set).batches()
    assert len(next(frames)) == 5
    stop.set()
    with pytest.raises(Cancelled):
        next(frames)


@pytest.mark.parametrize("look_ahead", [0, 5])
def test_nothing_is_read_before_it_is_needed(look_ahead: int) -> None:
    """A batch costs itself, the one that is prepared meanwhile, and the look-ahead, however long the video is."""
    portrait = toy(batch_size=4).prepare(numbered_clip(100), look_ahead=look_ahead)
    frames = portrait.animate(SILENCE, lazy=True).batches()
    next(frames)
    assert len(portrait.identity.tracked) <= 8 + look_ahead + 1
    next(frames)
    assert len(portrait.identity.tracked) <= 12 + look_ahead + 1
    frames.close()


def test_an_abandoned_animation_leaves_no_thread() -> None:
    before = threading.active_count()
    frames = toy(batch_size=1).animate(numbered_clip(40), SILENCE).frames()
    next(frames)
    frames.close()
    assert threading.active_count() == before


def test_options_of_the_preparation_are_fixed() -> None:
    portrait = toy().prepare(picture(), offset=7)
    assert levels(portrait.animate(SILENCE).to_array())[0] == 17
    assert levels(portrait.animate(SILENCE, lazy=True).to_array())[0] == 17
    with pytest.raises(OptionError, match="offset"):
        portrait.animate(SILENCE, offset=8)


def test_a_seed_is_a_whole_number_from_zero() -> None:
    with pytest.raises(UsageError, match="-1 is no seed"):
        toy().prepare(picture(), seed=-1)


def test_rates_stay_exact() -> None:
    source = clip(np.stack([picture(k) for k in range(30)]), 29.97)
    assert toy().animate(source, SILENCE).fps == Fraction(30000, 1001)


@pytest.mark.parametrize("fps", [0, -25, float("nan"), "fast", None])
def test_impossible_rates_are_refused(fps: Any) -> None:
    with pytest.raises(UsageError, match="no frame rate"):
        clip(np.stack([picture()]), fps)
