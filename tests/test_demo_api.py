"""The API of the page as programs use it: gradio_client, curl as in docs/api.md, and requests that want too much."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the demo needs gradio")

import httpx
import numpy as np
from gradio_client import Client, handle_file
from PIL import Image

from demo_server import Page, running
from thg_zoo.demo.gradio_versions import MAJOR
from thg_zoo.media.probe import probe
from thg_zoo.zoo import list_models

DOCUMENT = Path(__file__).parent.parent / "docs" / "api.md"
FILE = {"_type": "gradio.FileData"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with running(tmp_path_factory.mktemp("server"), THG_ZOO_MAX_PIXELS="1000000") as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, face_path: Path, speech_path: Path) -> Path:
    """face.png, half a second of speech.wav, and files that do not do."""
    made = tmp_path_factory.mktemp("files")
    Image.open(face_path).resize((256, 256)).save(made / "face.png")
    Image.new("RGB", (256, 256), "grey").save(made / "noface.png")
    Image.new("RGB", (1001, 1000), "grey").save(made / "large.png")
    with wave.open(str(speech_path)) as whole, wave.open(str(made / "speech.wav"), "wb") as part:
        part.setparams(whole.getparams())
        whole.setpos(whole.getframerate() // 2)
        part.writeframes(whole.readframes(whole.getframerate() // 2))
    (made / "notes.txt").write_text("not a picture at all\n" * 20)
    return made


def client(page: Page, downloads: Path, **more: Any) -> Client:
    return Client(page.url, download_files=str(downloads), verbose=False, **more)


@pytest.fixture(scope="module")
def anna(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A client for all tests that need no other: making one takes its time."""
    return client(page, tmp_path_factory.mktemp("anna"))


def files(folder: Path) -> tuple[Any, Any]:
    return handle_file(folder / "face.png"), handle_file(folder / "speech.wav")


def size(video: str | Path) -> tuple[int | None, int | None]:
    found = probe(video)
    return found.width, found.height


def uploaded(page: Page, path: Path) -> dict[str, Any]:
    with path.open("rb") as content:
        answer = httpx.post(f"{page.url}/gradio_api/upload", files={"files": (path.name, content)})
    return {"path": answer.json()[0], "meta": FILE}


def call(page: Page, endpoint: str, data: list[Any], **more: Any) -> tuple[str, Any]:
    """One call as curl makes it: the last event, and its data."""
    begun = httpx.post(f"{page.url}/gradio_api/call/{endpoint}", json={"data": data, **more})
    assert begun.status_code == 200, begun.text
    text = httpx.get(f"{page.url}/gradio_api/call/{endpoint}/{begun.json()['event_id']}", timeout=60).text
    event, content = re.findall(r"event: (\w+)\ndata: (.*)", text)[-1]
    return event, json.loads(content)


def test_animate_with_progress(page: Page, anna: Client, folder: Path) -> None:
    job = anna.submit(*files(folder), "warp", {"head_motion": 0.5}, api_name="/animate")
    *progress, (video, report) = list(job)
    assert size(video) == (256, 256)
    assert report["frames"] == 13
    assert report["options"]["head_motion"] == 0.5
    assert (report["source"], report["driver"]) == ("face.png", "speech.wav")
    assert str(page.folder) not in json.dumps(report)
    assert progress
    assert all(v is None and now["state"] in ("waiting", "running") for v, now in progress)


def test_a_portrait_is_prepared_once_and_belongs_to_its_client(
    page: Page, anna: Client, folder: Path, tmp_path: Path
) -> None:
    face, speech = files(folder)
    ben = client(page, tmp_path)
    prepared = anna.predict(face, "warp", api_name="/prepare")
    assert (prepared["width"], prepared["height"]) == (256, 256)
    ask = {"driver": speech, "model": "warp", "portrait": prepared["portrait"], "api_name": "/animate"}
    for _ in range(2):
        _, report = anna.predict(**ask)
        assert report["frames"] == 13
        assert report["source"] == "face.png"
    with pytest.raises(Exception, match="no such prepared portrait"):
        ben.predict(**ask)


def test_models_are_listed_with_their_options(anna: Client) -> None:
    models = {model["name"]: model for model in anna.predict(api_name="/models")}
    assert set(models) == {model.name for model in list_models()}
    assert models["warp"]["ready"]
    assert models["warp"]["download_bytes"] == 0
    mouth = next(o for o in models["warp"]["options"] if o["name"] == "mouth")
    assert mouth == {
        "name": "mouth",
        "type": "number",
        "default": 1.0,
        "accepted": "0 .. 2",
        "help": "How far the mouth opens, relative to what the sound suggests.",
    }


def test_compare(anna: Client, folder: Path) -> None:
    grid, table = anna.predict(*files(folder), ["warp"], api_name="/compare")
    assert probe(grid).kind == "video"
    assert [(row["model"], row["status"], row["frames"]) for row in table["rows"]] == [("warp", "ok", 13)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "noface.png"}, "face"),
        ({"source": "large.png"}, "large.png has 1001x1000 pixels; the limit is 1000000."),
        ({"source": "notes.txt"}, "notes.txt holds text, not a picture, sound or video."),
        ({"source": "speech.wav"}, "'speech.wav' is a sound file; the source has to show a face."),
        ({"driver": "noface.png"}, "'noface.png' is of kind image"),
        ({"source": None}, "There is no face."),
        ({"driver": None}, "nothing to drive the face"),
        ({"model": "wap"}, "There is no model 'wap'. Did you mean 'warp'"),
        ({"options": {"mout": 1}}, "There is no option 'mout'. Did you mean 'mouth'?"),
        ({"options": {"mouth": 9}}, "out of range. Accepted: 0 .. 2"),
        ({"options": ["mouth"]}, "['mouth'] are no options."),
        ({"seed": -1}, "-1 is not a seed."),
        ({"portrait": "guessed"}, "no such prepared portrait"),
        ({"drive_by": "smell"}, "not driven by 'smell'"),
    ],
)
def test_errors_are_those_of_the_command_line(
    changes: dict[str, Any], message: str, page: Page, anna: Client, folder: Path
) -> None:
    asked: dict[str, Any] = {"source": "face.png", "driver": "speech.wav", **changes}
    for role in ("source", "driver"):
        asked[role] = asked[role] and handle_file(folder / asked[role])
    with pytest.raises(Exception, match=re.escape(message)) as caught:
        anna.predict(**asked, api_name="/animate")
    assert str(page.folder) not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": []}, "No model is chosen."),
        ({"models": "warp"}, "No model is chosen."),
        ({"options": {"wav2lip": {}}}, "'wav2lip', which is not compared"),
        ({"options": {"warp": {"mout": 1}}}, "There is no option 'mout'."),
        ({"options": [1]}, "[1] are no options."),
    ],
)
def test_comparisons_that_cannot_be(changes: dict[str, Any], message: str, anna: Client, folder: Path) -> None:
    face, speech = files(folder)
    asked: dict[str, Any] = {"source": face, "driver": speech, "models": ["warp"], **changes}
    with pytest.raises(Exception, match=re.escape(message)):
        anna.predict(**asked, api_name="/compare")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "https://example.org/face.png", "http://127.0.0.1/x", "file:///etc/passwd"]
)
def test_the_server_reads_uploads_only(path: str, page: Page, folder: Path) -> None:
    stolen = {"path": path, "url": path, "meta": FILE}
    event, _ = call(page, "animate", [stolen, uploaded(page, folder / "speech.wav"), "warp", {}, "auto", 0, ""])
    assert event == "error"


def test_only_files_of_the_page_can_be_fetched(page: Page, folder: Path) -> None:
    own = uploaded(page, folder / "face.png")["path"]
    assert httpx.get(f"{page.url}/gradio_api/file={own}").content == (folder / "face.png").read_bytes()
    for path in (
        "/etc/passwd",
        str(DOCUMENT),
        str(page.folder / "log.txt"),
        "https://example.org/",
        f"{page.root}/visitors",
    ):
        assert httpx.get(f"{page.url}/gradio_api/file={path}").status_code == 403, path
    assert httpx.get(f"{page.url}/gradio_api/proxy=https://example.org/").status_code == 403


@pytest.mark.skipif(MAJOR < 6, reason="gradio 5 knows no session in calls without its client")
def test_a_session_connects_calls_of_curl(page: Page, folder: Path) -> None:
    face, speech = (uploaded(page, folder / name) for name in ("face.png", "speech.wav"))
    _, data = call(page, "prepare", [face, "warp", {}, 0], session_hash="a-long-random-text")
    ask = [None, speech, "warp", {}, "auto", 0, data[-1]["portrait"]]
    assert call(page, "animate", ask, session_hash="a-long-random-text")[0] == "complete"
    assert call(page, "animate", ask, session_hash="another-text")[0] == "error"


def test_a_client_that_stops_takes_its_run_with_it(
    page: Page, anna: Client, folder: Path, tmp_path: Path, speech_path: Path
) -> None:
    with wave.open(str(speech_path)) as whole, wave.open(str(tmp_path / "long.wav"), "wb") as long:
        long.setparams(whole.getparams())
        long.writeframes(whole.readframes(whole.getnframes()) * 40)
    asking = client(page, tmp_path)
    job = asking.submit(handle_file(folder / "face.png"), handle_file(tmp_path / "long.wav"), api_name="/animate")
    end = time.monotonic() + 30
    while not any(now["stage"] == "render" for _, now in job.outputs() if now) and time.monotonic() < end:
        time.sleep(0.05)
    job.cancel()
    begin = time.monotonic()
    assert anna.predict(*files(folder), api_name="/animate")[1]["frames"] == 13
    assert time.monotonic() - begin < 20


def test_eight_visitors_at_once_are_served_in_order_and_apart(page: Page, folder: Path, tmp_path: Path) -> None:
    sides = [224 + 16 * k for k in range(8)]
    asked: list[Any] = []
    for k, side in enumerate(sides):
        Image.open(folder / "face.png").resize((side, side)).save(tmp_path / f"face{k}.png")
        asked.append((client(page, tmp_path / str(k)), handle_file(tmp_path / f"face{k}.png")))
    speech = handle_file(folder / "speech.wav")
    results: list[Any] = [None] * 8
    finished: list[int] = []

    def visit(k: int, job: Any) -> None:
        results[k] = job.result(timeout=120)
        finished.append(k)

    threads = []
    for k, (visitor, face) in enumerate(asked):
        job = visitor.submit(face, speech, "warp", {"mouth": round(1 + k / 10, 1)}, api_name="/animate")
        threads.append(threading.Thread(target=visit, args=(k, job)))
        threads[-1].start()
        while not job.outputs() and not job.done():
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert finished == list(range(8))
    for k, (video, report) in enumerate(results):
        assert size(video) == (sides[k], sides[k])
        assert report["source"] == f"face{k}.png"
        assert report["options"]["mouth"] == round(1 + k / 10, 1)


def test_a_password_an_upload_limit_and_nothing_left_at_the_end(tmp_path: Path) -> None:
    with running(tmp_path, "--max-upload", "1", "--auth", "anna:secret") as page:
        assert httpx.post(f"{page.url}/gradio_api/upload", files={"files": b"x"}).status_code == 401
        assert httpx.get(f"{page.url}/config").status_code == 401
        with pytest.raises(Exception, match=r"401|credentials|[Aa]uth"):
            client(page, tmp_path).predict(api_name="/models")
        inside = client(page, tmp_path, auth=("anna", "secret"))
        assert inside.predict(api_name="/models")
        noise = tmp_path / "large.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8)).save(noise)
        with pytest.raises(Exception, match=r"1 MB|413|[Ss]ize"):
            inside.predict(handle_file(noise), api_name="/prepare")
        root = page.root
    assert not root.exists()


# The examples of docs/api.md, as they stand there.


def example(language: str, page: Page) -> str:
    code = re.search(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    assert code
    return code[1].replace("http://127.0.0.1:7860", page.url)


def test_the_python_example(page: Page, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(example("python", page), names)
    for video in (names["video"], names["again"], names["grid"]):
        assert probe(video).kind == "video"
    assert "warp" in names["ready"]


def test_the_curl_example(page: Page, folder: Path, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    for name in ("face.png", "speech.wav"):
        shutil.copy(folder / name, tmp_path)
    subprocess.run(["bash", "-ec", example("bash", page)], cwd=tmp_path, check=True, timeout=60)
    assert size(tmp_path / "out.mp4") == (256, 256)
