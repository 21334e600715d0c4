"""What files are, by content; what is refused, and how."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from media_files import AWKWARD_NAMES, click, ffmpeg, huge_png, numbered_video
from thg_zoo.errors import MediaError, MediaLimitError, UsageError
from thg_zoo.media.header import parse_header
from thg_zoo.media.limits import Limits
from thg_zoo.media.probe import probe
from thg_zoo.media.timing import fit_rate

RATES = {
    "25": Fraction(25),
    "30000/1001": Fraction(30000, 1001),
    "24000/1001": Fraction(24000, 1001),
    "60000/1001": Fraction(60000, 1001),
    "12.5": Fraction(25, 2),
    "50": Fraction(50),
    "617/50": Fraction(617, 50),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov"])
@pytest.mark.parametrize("rate", RATES)
def test_exact_rate(tmp_path: Path, rate: str, suffix: str) -> None:
    fast = ["-deadline", "realtime", "-cpu-used", "8"] if suffix == ".webm" else []
    info = probe(numbered_video(tmp_path / f"v{suffix}", 40, rate, *fast))
    assert info.kind == "video"
    assert info.constant_rate
    assert info.fps == RATES[rate]
    assert info.n_frames == 40
    assert info.duration is not None
    assert abs(float(info.duration) - 40 / float(RATES[rate])) < 0.06
    assert (info.width, info.height) == (64, 48)
    assert not info.has_audio


def test_sound_and_pictures(tmp_path: Path) -> None:
    ffmpeg("-f", "f32le", "-ar", "16000", "-i", "-", tmp_path / "a.mp3", data=click(2, 1).tobytes())
    ffmpeg("-f", "f32le", "-ar", "16000", "-i", "-", "-ac", "6", tmp_path / "a.flac", data=click(2, 1).tobytes())
    Image.new("RGB", (30, 20)).save(tmp_path / "p.webp")
    mp3, flac, webp = probe(tmp_path / "a.mp3"), probe(tmp_path / "a.flac"), probe(tmp_path / "p.webp")
    assert (mp3.kind, mp3.audio_rate, mp3.audio_channels, mp3.has_video) == ("audio", 16000, 1, False)
    assert mp3.duration is not None
    assert abs(mp3.duration - 2) < Fraction(1, 10)
    assert (flac.kind, flac.audio_channels) == ("audio", 6)
    assert (webp.kind, webp.width, webp.height, webp.fps) == ("image", 30, 20, None)


def test_cover_picture_is_no_video(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "cover.png")
    sound = ["-f", "lavfi", "-i", "sine=440:duration=1", "-i", tmp_path / "cover.png"]
    ffmpeg(*sound, "-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic", tmp_path / "a.mp3")
    assert probe(tmp_path / "a.mp3").kind == "audio"


def test_animated_and_still_gif(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), (value, 0, 0)) for value in (10, 90, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=40)
    frames[0].save(tmp_path / "still.gif")
    info = probe(tmp_path / "moving.gif")
    assert (info.kind, info.fps, info.n_frames) == ("video", Fraction(25), 3)
    assert probe(tmp_path / "still.gif").kind == "image"


def test_rotation_and_pixel_shape_are_applied(tmp_path: Path) -> None:
    plain = numbered_video(tmp_path / "v.mp4", 5, "25")
    ffmpeg("-display_rotation", "90", "-i", plain, "-c", "copy", tmp_path / "turned.mp4")
    wide = numbered_video(tmp_path / "wide.mp4", 5, "25", "-vf", "setsar=3/2")
    turned, stretched = probe(tmp_path / "turned.mp4"), probe(wide)
    assert (turned.width, turned.height) == (48, 64)
    assert (stretched.width, stretched.height) == (96, 48)


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_any_name(tmp_path: Path, name: str) -> None:
    path = numbered_video(tmp_path / "v.mp4", 3, "25").rename(tmp_path / f"{name}.mp4")
    assert probe(path).n_frames == 3


def test_relative_name_with_leading_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbered_video(tmp_path / "v.mp4", 3, "25").rename(tmp_path / "-i.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe("-i.mp4").n_frames == 3


PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXTINF:1,\nv.mp4\n#EXT-X-ENDLIST\n",
    "DASH": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>v.mp4</BaseURL></MPD>',
    "ffconcat": "ffconcat version 1.0\nfile v.mp4\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "PLS": "[playlist]\nFile1=v.mp4\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".wav"])
def test_playlists_are_refused_by_content(tmp_path: Path, kind: str, suffix: str) -> None:
    numbered_video(tmp_path / "v.mp4", 3, "25")
    path = tmp_path / f"list{suffix}"
    path.write_text(PLAYLISTS[kind])
    with pytest.raises(MediaError, match=rf"list\{suffix} is an? {kind}"):
        probe(path)


def test_playlist_behind_a_binary_byte_is_refused_by_ffmpeg_itself(tmp_path: Path) -> None:
    numbered_video(tmp_path / "v.mp4", 3, "25")
    path = tmp_path / "list.m3u8"
    path.write_bytes(b"#EXTM3U\n".replace(b"#", b"\xef\xbb\xbf#") + b"#EXTINF:1,\nv.mp4\n\x01")
    with pytest.raises(MediaError, match=r"list\.m3u8"):
        probe(path)


@pytest.mark.parametrize("name", ["subfile,,start,0,end,0,,:v.mp4", "concat:v.mp4|v.mp4", "pipe:0", "data:,x"])
def test_protocols_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    numbered_video(tmp_path / "v.mp4", 3, "25")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MediaError, match="does not exist"):
        probe(name)


def test_unreadable_things(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.png").write_text("hello\n" * 50)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "pdf.mp4").write_bytes(b"%PDF-1.7\n\x80\x81\n" + bytes(500))
    heic = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100)
    (tmp_path / "p.heic").write_bytes(heic)
    for name, words in {
        "missing.mp4": "does not exist",
        "empty.mp4": "empty",
        "text.png": "holds text",
        "noise.mp4": "noise",
        "pdf.mp4": "pdf",
        "p.heic": "HEIC",
        ".": "folder",
    }.items():
        with pytest.raises(MediaError, match=words) as caught:
            probe(tmp_path / name)
        assert caught.value.remedy
        assert name in str(caught.value) or name == "."


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipes_and_devices_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="not a regular file"):
        probe(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="not a regular file"):
        probe("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_forbidden_file(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "v.mp4", 3, "25")
    path.chmod(0)
    with pytest.raises(MediaError, match="may not be read"):
        probe(path)


def test_truncated_videos_say_how_far_they_go(tmp_path: Path) -> None:
    whole = numbered_video(tmp_path / "v.mp4", 100, "25", "-movflags", "+faststart", "-qp", "5")
    data = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(MediaError, match=r"cut\.mp4 is cut off: it can be decoded up to [0-3]\.\d s of 4\.0 s"):
        probe(tmp_path / "cut.mp4")
    late_index = numbered_video(tmp_path / "late.mp4", 100, "25").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(late_index[: len(late_index) // 2])
    with pytest.raises(MediaError, match="moov atom"):
        probe(tmp_path / "cut.mp4")


def test_limits_are_checked_before_decoding(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "v.mkv", 60, "30")
    for limits, word in (
        (Limits(max_pixels=3071), "PIXELS"),
        (Limits(max_seconds=1.9), "SECONDS"),
        (Limits(max_fps=29), "FPS"),
        (Limits(max_streams=0), "STREAMS"),
    ):
        with pytest.raises(MediaLimitError, match=f"v.mkv.*THG_ZOO_MAX_{word}"):
            probe(path, limits)
    assert probe(path, Limits(max_pixels=3072, max_seconds=2.1, max_fps=30, max_streams=1)).kind == "video"
    with pytest.raises(MediaLimitError):
        probe(huge_png(tmp_path / "p.png", 30_000))


def test_limits_from_environment() -> None:
    limits = Limits.from_environment({"THG_ZOO_MAX_PIXELS": "100", "THG_ZOO_MAX_SECONDS": "2.5"})
    assert (limits.max_pixels, limits.max_seconds, limits.max_fps) == (100, 2.5, 240)
    for wrong in ("-1", "0", "many", "nan", "1.5", "9" * 400):
        with pytest.raises(UsageError, match="THG_ZOO_MAX_PIXELS"):
            Limits.from_environment({"THG_ZOO_MAX_PIXELS": wrong})


def test_rate_of_time_stamps() -> None:
    milliseconds = Fraction(1, 1000)
    ntsc = np.round(np.arange(1000) * 1001 / 30).astype(np.int64)
    assert fit_rate(ntsc, milliseconds, 29.97)[:2] == (Fraction(30000, 1001), True)
    wandering = np.cumsum(np.random.default_rng(0).choice([20, 33, 60], 1000)).astype(np.int64)
    rate, constant, _ = fit_rate(wandering, milliseconds, 30)
    assert not constant
    assert abs(float(rate) - 999 / (wandering[-1] - wandering[0]) * 1000) < 1e-3
    nearly_usual = np.round(np.arange(100) * 1000 / 24.9).astype(np.int64)
    assert fit_rate(nearly_usual, milliseconds, 24.9)[:2] == (Fraction(249, 10), True)
    early_or_late = np.arange(1000) * 40 + np.random.default_rng(0).choice([-12, 12], 1000)
    assert fit_rate(early_or_late, milliseconds, 25)[1]
    assert not fit_rate(np.sort(early_or_late * 1 + np.arange(1000) % 2 * 20), milliseconds, 25)[1]
    assert fit_rate(np.array([7], np.int64), milliseconds, 23.98)[0] == Fraction(24000, 1001)
    assert fit_rate(np.array([7], np.int64), milliseconds, None)[0] == 25


def test_header_forms_of_other_versions() -> None:
    lines = [
        "Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:x':",
        "  Duration: N/A, start: 1.400000, bitrate: N/A",
        "    Stream #0:0(und): Video: h264, yuv420p(tv, bt709), 1440x1080 [SAR 4:3 DAR 16:9], 29.97 fps, 30k tbn",
        "    Metadata:",
        "      rotate          : 90",
        "    Stream #0:1(eng): Audio: dts, 48000 Hz, 5.1(side), fltp, 1536 kb/s",
    ]
    header = parse_header(Path("x"), lines)
    assert header is not None
    assert header.video is not None
    assert header.audio is not None
    assert (header.video.width, header.video.height, header.video.fps) == (1080, 1920, 29.97)
    assert (header.audio.rate, header.audio.channels) == (48000, 6)
    assert (header.duration, header.start, header.streams) == (None, Fraction("1.4"), 2)
    assert parse_header(Path("x"), ["x: Invalid data found"]) is None
