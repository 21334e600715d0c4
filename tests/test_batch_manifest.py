"""Manifests: every problem is found with its line before anything starts, and length costs neither time nor memory."""

from __future__ import annotations

import json
import os
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from thg_zoo.errors import ManifestError
from thg_zoo.jobs import Job
from thg_zoo.jobs.batch import batch
from thg_zoo.jobs.checking import Defaults, ManifestJobs
from thg_zoo.jobs.manifest import Problem, Row, read_manifest
from thg_zoo.jobs.plan import Plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that exist; nothing looks into them before a job runs."""
    for name in ("a.png", "b.png", "c.mp4", "x.wav", "y.wav"):
        (tmp_path / name).write_bytes(b"content")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "faces").mkdir()
    for name in ("one.png", "two [1].png"):
        (tmp_path / "faces" / name).write_bytes(b"content")
    return tmp_path


def jobs_of(folder: Path, text: str, suffix: str = ".csv", **arguments: Any) -> list[Job]:
    manifest = folder / f"manifest{suffix}"
    manifest.write_bytes(text.encode() if isinstance(text, str) else text)
    defaults = Defaults(**{"model": "warp", **arguments})
    rows = read_manifest(str(manifest))
    return list(ManifestJobs("m", rows, str(folder), str(folder / "out"), defaults, fresh=True))


def problems_of(folder: Path, text: str, suffix: str = ".csv", **arguments: Any) -> dict[int, str]:
    with pytest.raises(ManifestError) as raised:
        jobs_of(folder, text, suffix, **arguments)
    lines = [line for line, _ in raised.value.problems]
    assert lines == sorted(set(lines)), "one problem per line here"
    return dict(raised.value.problems)


def test_the_three_kinds_say_the_same(folder: Path) -> None:
    csv = 'source,driver,mouth,teeth\n"a.png",x.wav,0.5,false\n\n faces/one.png, y.wav,,\n'
    rows = [
        {"source": "a.png", "driver": "x.wav", "mouth": 0.5, "teeth": False},
        {"source": "faces/one.png", "driver": "y.wav"},
    ]
    jsonl = "\n".join(json.dumps(row) for row in rows)
    yaml = "- source: a.png\n  driver: x.wav\n  mouth: 0.5\n  teeth: false\n- {source: faces/one.png, driver: y.wav}\n"
    found = [jobs_of(folder, *pair) for pair in ((csv, ".csv"), (jsonl, ".jsonl"), (yaml, ".yaml"))]
    assert found[0] == found[1] == found[2]
    first, second = found[0]
    assert first.payload["source"] == str(folder / "a.png")
    assert first.payload["options"]["mouth"] == 0.5
    assert first.payload["options"]["teeth"] is False
    assert second.payload["options"]["mouth"] == 1.0
    assert first.inputs == (str(folder / "a.png"), str(folder / "x.wav"))


def test_names_are_stable_and_free_of_collisions(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    header = "source,driver,model,mouth\n"
    lines = [
        "a.png,x.wav,warp,",
        "a.png,y.wav,warp,",
        "b.png,x.wav,warp,",
        "a.png,x.wav,warp,0.5",
        "a.png,x.wav,wav2lip,",
    ]
    names = [job.id for job in jobs_of(folder, header + "\n".join(lines))]
    assert len(set(names)) == 5
    assert names[0].startswith("a-x-warp-")
    assert [job.id for job in jobs_of(folder, header + "\n".join(reversed(lines)))] == names[::-1]
    moved = tmp_path_factory.mktemp("moved") / "elsewhere"
    folder.rename(moved)
    assert [job.id for job in jobs_of(moved, header + "\n".join(lines))] == names
    assert (
        jobs_of(moved, "source,driver\n./a.png,x.wav\n")[0].id == jobs_of(moved, "source,driver\na.png,x.wav\n")[0].id
    )


def test_patterns_stand_for_every_pair(folder: Path) -> None:
    jobs = jobs_of(folder, "source,driver\nfaces/*.png,?.wav\n")
    assert len(jobs) == 4
    listed = jobs_of(folder, "source,driver\nfaces/one.png,x.wav\nfaces/two [1].png,x.wav\n")
    assert {job.id for job in listed} < {job.id for job in jobs}, "a name with a bracket is a name if it is there"


def test_patterns_in_a_folder_whose_name_looks_like_one(folder: Path) -> None:
    moved = folder / "take [1]"
    moved.mkdir()
    for name in ("faces", "x.wav", "y.wav"):
        (folder / name).rename(moved / name)
    assert len(jobs_of(moved, "source,driver\nfaces/*.png,?.wav\n")) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes")
def test_matching_names_that_are_no_utf_8_are_refused(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/faces/\xff.png")).write_bytes(b"content")
    assert "is not UTF-8" in problems_of(folder, "source,driver\nfaces/*.png,x.wav\n")[2]


def test_jobs_that_prepare_alike_share_an_affinity(folder: Path) -> None:
    rows = (
        "a.png,x.wav,warp,0.5,largest\na.png,y.wav,warp,1,largest\na.png,x.wav,warp,1,0\nb.png,x.wav,warp,1,largest\n"
    )
    families = [job.affinity for job in jobs_of(folder, "source,driver,model,mouth,face\n" + rows)]
    assert families[0] == families[1]
    assert len(set(families)) == 3


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ("source,model\na.png,warp\n", ".csv", {1: "The column driver is missing"}),
        ("source;driver\na.png;x.wav\n", ".csv", {1: "The column source and the column driver is missing"}),
        ("source,driver,source\n", ".csv", {1: "'source' is there twice"}),
        ("", ".csv", {1: "There is no header"}),
        ("source,driver\n", ".csv", {1: "There are no jobs"}),
        ('source,driver\n"a.png,x.wav\na.png,x.wav\n', ".csv", {2: "quoting is wrong"}),
        ('source,driver\n"a.png"b,x.wav\n', ".csv", {2: "quoting is wrong"}),
        ("source,driver\na.png,x.wav,1\na.png\n", ".csv", {2: "It has 3 cells", 3: "It has 1 cells"}),
        (b"source,driver\na\xff.png,x.wav\n", ".csv", {2: "not UTF-8"}),
        ("source,driver\nmissing.png,x.wav\na.png,empty.wav\n", ".csv", {2: "There is no file", 3: "is empty"}),
        ("source,driver\nnone*.png,x.wav\n,x.wav\n", ".csv", {2: "No file matches", 3: "It has no source"}),
        ("source,driver,model\na.png,x.wav,wrap\n", ".csv", {2: "Did you mean 'warp'"}),
        ("source,driver,pads\na.png,x.wav,\na.png,y.wav,1\n", ".csv", {3: "There is no option 'pads'"}),
        ("source,driver,mouth\na.png,x.wav,9\na.png,x.wav,much\n", ".csv", {2: "out of range", 3: "It takes a number"}),
        ("source,driver,seed\na.png,x.wav,-1\n", ".csv", {2: "is no seed"}),
        ("source,driver,drive_by\na.png,x.wav,motion\n", ".csv", {2: "not driven by 'motion'"}),
        ("source,driver\na.png,x.wav\na.png,x.wav\n", ".csv", {3: "that of line 2 as well"}),
        ("source,driver,output\na.png,x.wav,o.mp4\nb.png,x.wav,O.MP4\n", ".csv", {3: "that of line 2 as well"}),
        ("source,driver,output\na.png,x.wav,../o.mp4\na.png,x.wav,/o.mp4\n", ".csv", {2: "no name", 3: "no name"}),
        ("source,driver,output\na.png,x.wav,o.avi\na.png,x.wav,.o.mp4\n", ".csv", {2: ".avi cannot", 3: "hidden"}),
        ("source,driver,output\nfaces/*.png,x.wav,o.mp4\n", ".csv", {2: "One output is named for 2 jobs"}),
        ("source,driver,output\na.png,x.wav,o\nb.png,x.wav,o/p.mp4\n", ".csv", {3: "would lie in o"}),
        ("source,driver,output\na.png,x.wav,a.mp4\nb.png,x.wav,k.mp4\n", ".csv", {3: "exists already"}),
        ('{"source": "a.png"}\n[1]\n{"source"\n', ".jsonl", {1: "no driver", 2: "is a list", 3: "not JSON"}),
        ('{"source": ["a.png"], "driver": "x.wav"}\n', ".jsonl", {1: "is no source"}),
        ("- source: a.png\n  driver: x.wav\n- text\n- source: [\n", ".yaml", {3: "is a list", 5: "not YAML"}),
        ("source: a.png\ndriver: x.wav\n", ".yaml", {1: "not a list of jobs"}),
        ("- {source: a.png, driver: x.wav}\n---\n- 1\n", ".yaml", {2: "A second document"}),
        ("- {source: *unknown, driver: x.wav}\n", ".yaml", {1: "unknown alias"}),
        (
            "- {source: 2024-13-45, driver: x.wav}\n- {source: b.png, driver: none.wav}\n",
            ".yaml",
            {1: "month", 2: "no file"},
        ),
        ("- " + "[" * 5000, ".yaml", {1: "not YAML"}),
        ('{"source": "\\udcff.png", "driver": "x.wav"}\n', ".jsonl", {1: "is not UTF-8"}),
    ],
)
def test_every_problem_is_named_with_its_line(folder: Path, text: Any, suffix: str, expected: dict[int, str]) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "k.mp4").write_bytes(b"somebody else's")
    problems = problems_of(folder, text, suffix)
    assert set(problems) == set(expected)
    for line, words in expected.items():
        assert words in problems[line]


def test_an_output_must_not_be_an_input(folder: Path) -> None:
    """Found in whichever order the lines stand, also through a link, and for files within a folder of pictures."""
    (folder / "out" / "frames").mkdir(parents=True)
    for name in ("talk.mp4", "frames/000001.png"):
        (folder / "out" / name).write_bytes(b"from an earlier run")
    (folder / "link").symlink_to(folder / "out")
    manifest = folder / "m.csv"
    manifest.write_text(
        "source,driver,output\nlink/talk.mp4,x.wav,second.mp4\na.png,x.wav,talk.mp4\n"
        "out/frames/000001.png,x.wav,third.mp4\nb.png,x.wav,frames\n"
    )
    jobs = ManifestJobs(
        "m", read_manifest(str(manifest)), str(folder), str(folder / "out"), Defaults("warp"), fresh=False
    )
    with pytest.raises(ManifestError) as raised:
        list(jobs)
    assert [line for line, _ in raised.value.problems] == [2, 4]
    assert "the output of line 3" in raised.value.problems[0][1]
    assert "the output of line 5" in raised.value.problems[1][1]


def test_nothing_is_started_or_made(folder: Path) -> None:
    events: list[Any] = []
    rows = [
        {"source": str(folder / "a.png"), "driver": str(folder / "x.wav")},
        {"source": "missing.png", "driver": "x.wav"},
    ]
    with pytest.raises(ManifestError, match="Line 2") as raised:
        batch(rows, folder / "out", model="warp", notify=events.append)
    assert raised.value.exit_code == 2
    assert not events
    assert not (folder / "out").exists()
    with pytest.raises(ManifestError, match="suffix"):
        batch(folder / "a.png", folder / "out", model="warp")
    with pytest.raises(ManifestError, match="There is no file"):
        batch(folder / "no.csv", folder / "out", model="warp")


@pytest.mark.parametrize(("suffix", "n"), [(".csv", 100_000), (".jsonl", 10_000), (".yaml", 10_000)])
def test_a_long_manifest_takes_seconds_and_no_memory(tmp_path: Path, suffix: str, n: int) -> None:
    """Reading and planning; the limits leave room for a slow and busy machine."""
    line = {
        ".csv": "faces/{0}.png,speech/{1}.wav,warp,0.5\n",
        ".jsonl": '{{"source": "faces/{0}.png", "driver": "speech/{1}.wav", "model": "warp", "mouth": 0.5}}\n',
        ".yaml": "- {{source: faces/{0}.png, driver: speech/{1}.wav, model: warp, mouth: 0.5}}\n",
    }[suffix]
    for kind in ("faces", "speech"):
        (tmp_path / kind).mkdir()
        for k in range(100):
            (tmp_path / kind / f"{k}.{'png' if kind == 'faces' else 'wav'}").write_bytes(b"content")
    manifest = tmp_path / f"m{suffix}"
    with manifest.open("w") as file:
        file.write("source,driver,model,mouth\n" if suffix == ".csv" else "")
        file.writelines(line.format(k % 100, k // 100 % 100) for k in range(min(n, 10_000)))
    rows = (row for _ in range(max(1, n // 10_000)) for row in read_manifest(str(manifest)))

    def numbered() -> Any:
        for k, row in enumerate(rows):
            assert isinstance(row, Row)
            yield Row(k, {**row.values, "seed": k // 10_000})

    jobs = ManifestJobs("m", numbered(), str(tmp_path), str(tmp_path / "out"), Defaults(), fresh=True)
    begin = time.process_time()
    with Plan(jobs) as plan:
        assert plan.start() == n
        assert time.process_time() - begin < 30


def test_memory_does_not_grow_with_the_manifest(folder: Path) -> None:
    def peak(n: int) -> int:
        rows = (Row(k, {"source": "a.png", "driver": "x.wav", "output": f"{k}.mp4"}) for k in range(n))
        jobs = ManifestJobs("m", rows, str(folder), str(folder / "out"), Defaults("warp"), fresh=False)
        tracemalloc.start()
        with Plan(jobs) as plan:
            assert plan.start() == n
            found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    assert peak(4000) < peak(400) + 200_000


def test_problems_are_not_rows(folder: Path) -> None:
    (folder / "m.csv").write_text('source,driver\n"a\na.png,x.wav\n')
    first, second = read_manifest(str(folder / "m.csv"))
    assert isinstance(first, Problem)
    assert second == Row(3, {"source": "a.png", "driver": "x.wav"})
