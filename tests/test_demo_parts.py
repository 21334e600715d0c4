"""The demo's parts by themselves: the queue, visitors' files, uploads, generated controls, cards."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the demo needs gradio")

import gradio as gr

from thg_zoo.demo import status, studio, visitors
from thg_zoo.demo.controls import chosen, control_groups, editing_groups, offered, refuse_hidden
from thg_zoo.demo.guard import Guard
from thg_zoo.demo.jobs import Job, JobQueue, Snapshot
from thg_zoo.demo.memory import Memory, visitor_of
from thg_zoo.demo.service import Service
from thg_zoo.demo.settings import Settings
from thg_zoo.demo.tab_models import ModelsTab
from thg_zoo.demo.tasks import nameless
from thg_zoo.demo.uploads import place, received
from thg_zoo.demo.visitors import Visitors
from thg_zoo.errors import DownloadError, LicenceError, MediaError, OptionError, ThgZooError, UsageError
from thg_zoo.run import Progress, Run
from thg_zoo.weights import licences
from thg_zoo.zoo import describe, list_models


def wait_for(condition: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def queue() -> Iterator[JobQueue[str]]:
    made = JobQueue(["one"], max_waiting=3, max_per_visitor=2)
    yield made
    made.close()


def held(gate: threading.Event, order: list[str], name: str) -> Any:
    def task(job: Job, tool: str) -> str:
        order.append(name)
        assert gate.wait(10)
        return f"{name} by {tool}"

    return task


def test_jobs_are_served_in_order_and_know_their_place(queue: JobQueue[str]) -> None:
    gate, order = threading.Event(), []
    jobs = [queue.submit(Job(name, "t"), held(gate, order, name)) for name in "abc"]
    wait_for(lambda: jobs[0].state == "running")
    assert [queue.look(job).ahead for job in jobs] == [0, 1, 2]
    gate.set()
    wait_for(lambda: jobs[2].finished)
    assert order == ["a", "b", "c"]
    assert [job.result for job in jobs] == ["a by one", "b by one", "c by one"]


def test_a_full_queue_and_a_greedy_visitor_are_refused(queue: JobQueue[str]) -> None:
    gate, order = threading.Event(), []
    first = queue.submit(Job("anna", "t"), held(gate, order, "1"))
    wait_for(lambda: first.state == "running")
    queue.submit(Job("anna", "t"), held(gate, order, "2"))
    refused = Job("anna", "t")
    with pytest.raises(ThgZooError, match="2 of your runs"):
        queue.submit(refused, held(gate, order, "3"))
    assert refused.finished
    for name in ("ben", "cleo"):
        queue.submit(Job(name, "t"), held(gate, order, name))
    with pytest.raises(ThgZooError, match="3 runs are waiting"):
        queue.submit(Job("dora", "t"), held(gate, order, "4"))
    gate.set()


def test_two_devices_work_at_once_and_a_job_can_ask_for_one() -> None:
    queue = JobQueue(["one", "two"], max_waiting=9, max_per_visitor=9)
    try:
        gate, order = threading.Event(), []
        jobs = [queue.submit(Job("a", "t"), held(gate, order, str(k)), "two") for k in range(2)]
        jobs.append(queue.submit(Job("a", "t"), held(gate, order, "2")))
        wait_for(lambda: queue.load == (2, 1))
        gate.set()
        wait_for(lambda: all(job.finished for job in jobs))
        assert [job.result for job in jobs] == ["0 by two", "1 by two", "2 by one"]
    finally:
        queue.close()


def test_a_job_can_be_cancelled_while_it_runs_and_while_it_waits(queue: JobQueue[str]) -> None:
    def endless(job: Job, tool: str) -> None:
        run = Run(progress=job.advance, cancel=job.cancelled)
        while True:
            run.advance("render", 1, 2)
            time.sleep(0.005)

    running, waiting = (queue.submit(Job("a", "t"), endless) for _ in range(2))
    wait_for(lambda: running.state == "running")
    waiting.cancel()
    assert queue.look(waiting).state == "cancelled"
    running.cancel()
    wait_for(lambda: running.finished)
    assert running.state == "cancelled"


def test_a_job_that_nobody_looks_at_is_given_up(queue: JobQueue[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thg_zoo.demo.jobs._ABANDONED_SECONDS", 0.05)
    job = Job("a", "t")
    time.sleep(0.1)
    assert job.cancelled()
    job.look()
    assert not job.cancelled()


def test_a_bug_in_a_task_fails_the_job_and_not_the_worker(queue: JobQueue[str]) -> None:
    def broken(job: Job, tool: str) -> None:
        raise KeyError("surprise")

    job = queue.submit(Job("a", "t"), broken)
    wait_for(lambda: job.finished)
    assert "KeyError" in str(job.error)
    after = queue.submit(Job("a", "t"), lambda job, tool: tool)
    wait_for(lambda: after.finished)
    assert after.result == "one"


def test_an_idle_worker_lets_go() -> None:
    rested = threading.Event()
    queue = JobQueue(["one"], max_waiting=1, max_per_visitor=1, idle=lambda _: rested.set(), idle_seconds=0.02)
    try:
        assert rested.wait(5)
    finally:
        queue.close()


def test_progress_has_a_rate_and_a_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("thg_zoo.demo.jobs.time.monotonic", lambda: now[0])
    job = Job("a", "t")
    job.state = "running"
    job.advance(Progress("render", 8, 108))
    now[0] += 2
    job.advance(Progress("render", 58, 108))
    assert job.look() == Snapshot("running", 0, "render", 58, 108, rate=25.0, left=2.0)


# Visitors and their files.


def upload(root: Path, name: str = "a.png", content: bytes = b"x") -> Path:
    folder = root / f"hash-{name}"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def as_value(path: Path) -> dict[str, Any]:
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def test_a_visitor_survives_a_reload_and_no_longer(tmp_path: Path) -> None:
    everybody = Visitors(tmp_path, keep_seconds=0.05, keep_results=2)
    anna = everybody.enter(None, "page 1")
    assert everybody.of("page 1") is anna
    everybody.leave("page 1")
    assert everybody.enter(anna.token, "page 2") is anna
    everybody.leave("page 2")
    time.sleep(0.1)
    everybody.sweep()
    assert not anna.folder.exists()
    assert everybody.enter(anna.token, "page 3").token != anna.token


def test_what_a_visitor_leaves_is_deleted_but_not_what_others_use(tmp_path: Path) -> None:
    everybody = Visitors(tmp_path, keep_seconds=0.2, keep_results=2)
    anna, ben = everybody.enter(None, "a"), everybody.enter(None, "b")
    hers, both = upload(tmp_path, "hers.png"), upload(tmp_path, "both.png")
    anna.uploads |= {hers, both}
    ben.uploads.add(both)
    everybody.leave("a")
    time.sleep(0.3)
    everybody.sweep()
    assert not anna.folder.exists()
    assert not hers.parent.exists()
    assert ben.folder.exists()
    assert both.exists()


def test_a_running_job_keeps_its_files(tmp_path: Path) -> None:
    everybody = Visitors(tmp_path, keep_seconds=0.01, keep_results=2)
    anna = everybody.enter(None, "a")
    job = Job(anna.token, "t")
    folder = everybody.add(anna, job)
    everybody.leave("a")
    time.sleep(0.05)
    everybody.sweep()
    assert folder.exists()
    job.state = "done"
    everybody.sweep()
    assert not folder.exists()


def test_old_results_make_room(tmp_path: Path) -> None:
    everybody = Visitors(tmp_path, keep_seconds=60, keep_results=2)
    anna = everybody.enter(None, "a")
    folders = []
    for _ in range(5):
        job = Job(anna.token, "t")
        folders.append(everybody.add(anna, job))
        job.state = "done"
    assert anna.latest("t") is job
    assert anna.latest("other") is None
    assert [f.exists() for f in folders] == [False, False, False, True, True]
    assert len(anna.jobs) == 2


def test_uploads_that_were_never_used_are_deleted(tmp_path: Path) -> None:
    everybody = Visitors(tmp_path, keep_seconds=0.01, keep_results=2)
    examples = tmp_path / visitors.EXAMPLES
    examples.mkdir()
    (examples / "face.png").write_bytes(b"x")
    unused = upload(tmp_path)
    time.sleep(0.1)
    everybody.sweep()
    assert not unused.exists()
    assert (examples / "face.png").exists()


@pytest.mark.parametrize(
    "value",
    [
        {"path": "/etc/passwd"},
        {"path": "https://example.org/a.png"},
        {"path": "file:///etc/passwd"},
        {"path": "../outside.png"},
        {"path": 5},
        {"url": "https://example.org/a.png"},
        {"video": None},
        {"video": {}},
        {},
        "/etc/passwd",
        ["a"],
    ],
)
def test_only_uploads_are_taken(value: Any, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside.png").write_bytes(b"x")
    with pytest.raises(UsageError):
        received(value, root)


def test_a_link_out_of_the_uploads_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    (root / "a.png").symlink_to(tmp_path / "secret")
    with pytest.raises(UsageError):
        received(as_value(root / "a.png"), root)


def test_an_upload_is_taken_once_it_is_there(tmp_path: Path) -> None:
    path = upload(tmp_path)
    assert received(as_value(path), tmp_path) == path
    assert received({"video": as_value(path), "subtitles": None}, tmp_path) == path
    path.unlink()
    with pytest.raises(MediaError, match="Upload it again"):
        received(as_value(path), tmp_path)


def test_a_file_is_placed_under_a_harmless_name(tmp_path: Path) -> None:
    path = upload(tmp_path, "-o $(reboot) ü.png", b"content")
    placed = place(path, tmp_path, "source")
    assert placed.parent == tmp_path / "source"
    assert placed.read_bytes() == b"content"
    assert placed.name == "o_reboot_ü.png"
    assert placed.samefile(path)


def test_errors_name_files_as_the_visitor_does(tmp_path: Path) -> None:
    folder = tmp_path / "visitors" / "token" / "job"
    error = nameless(MediaError(f"'{folder}/source/a.png' is bad.", f"See {folder}/out.mp4."), folder)
    assert type(error) is MediaError
    assert str(error) == "'a.png' is bad. See out.mp4."


# Controls.


@pytest.fixture(scope="module")
def groups() -> list[Any]:
    with gr.Blocks(analytics_enabled=False):
        return control_groups(list_models(), "warp")


def test_every_option_has_one_control_and_its_default_changes_nothing(groups: list[Any]) -> None:
    values = [control.component.value for group in groups for control in group.controls]
    for model in list_models():
        own = [group for group in groups if model.name in group.models]
        assert len(own) == 1
        assert {c.option.name for c in own[0].controls} == {info.name for info in offered(model)}
        assert chosen(groups, model.name, values) == {}


def test_changed_controls_become_options(groups: list[Any]) -> None:
    names = [(group.models, control.option.name) for group in groups for control in group.controls]
    values = [control.component.value for group in groups for control in group.controls]
    changes = {("warp", "blink"): 2, ("wav2lip", "pads"): "0, 20, 0, 0", ("wav2lip", "detect_size"): 512}
    for k, (models, name) in enumerate(names):
        for model in models:
            values[k] = changes.get((model, name), values[k])
    assert chosen(groups, "warp", values) == {"blink": 2}
    given = chosen(groups, "wav2lip", values)
    assert describe("wav2lip").resolve(given).pads == (0, 20, 0, 0)
    assert describe("wav2lip").resolve(given).detect_size == 512


def test_controls_show_help_and_range(groups: list[Any]) -> None:
    controls = {c.option.name: c.component for g in groups if "warp" in g.models for c in g.controls}
    assert isinstance(controls["mouth"], gr.Slider)
    assert (controls["mouth"].minimum, controls["mouth"].maximum) == (0, 2)
    assert controls["mouth"].info == "How far the mouth opens, relative to what the sound suggests."
    assert isinstance(controls["teeth"], gr.Checkbox)
    assert [value for _, value in controls["missing_face"].choices] == ["error", "hold", "pass"]
    assert controls["face"].allow_custom_value


def test_options_that_name_files_of_the_server_are_not_offered() -> None:
    hidden = [
        (model, info.name)
        for model in list_models()
        for info in model.options
        if info.name not in {i.name for i in offered(model)}
    ]
    for model, name in hidden:
        with pytest.raises(OptionError, match="names a file"):
            refuse_hidden(model, {name: "/etc/passwd"})


# Cards and the door.


def test_what_visitors_wrote_is_text_and_not_html() -> None:
    card = status.failed(MediaError("'<img src=x onerror=alert(1)>.png' is bad.", "Give <b>another</b>."))
    assert "<img" not in card
    assert "<b>" not in card
    assert 'role="alert"' in card


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (Snapshot("waiting", 1), "You are next"),
        (Snapshot("waiting", 3), "3 runs before yours"),
        (Snapshot("running", stage="start"), "Loading the model"),
        (
            Snapshot("running", stage="render", done=50, total=200, rate=25.0, left=6.0),
            "50 of 200 frames · 25 fps · 0:06",
        ),
        (Snapshot("running", stage="warp: render", done=5, total=20), "warp: rendering"),
        (Snapshot("running", stage="grid"), "Setting the videos side by side"),
    ],
)
def test_progress_in_words(now: Snapshot, words: str) -> None:
    assert words in status.progress(now)


def asked(guard: Guard, path: str, length: int | None = None, body: bytes = b"") -> int:
    """The status with which the guard, or the application behind it (299), answers."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    asyncio.run(guard({"type": "http", "path": path, "headers": headers, "method": "GET"}, receive, send))
    return int(sent[0]["status"])


async def behind(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 299 if message["type"] == "http.request" else 499})


def test_the_door(tmp_path: Path) -> None:
    guard = Guard(behind, tmp_path, 5_000_000)
    assert asked(guard, "/") == 299
    assert asked(guard, f"/gradio_api/file={tmp_path}/a/b.mp4") == 299
    for path in ("/etc/passwd", "https://example.org/", f"{tmp_path}/../x", "visitors/x", f"{tmp_path}x/a"):
        assert asked(guard, f"/gradio_api/file={path}") == 403, path
    assert asked(guard, "/gradio_api/proxy=https://example.org/") == 403
    assert asked(guard, "/gradio_api/queue/join", 2_000_000) == 413
    assert asked(guard, "/gradio_api/queue/join", None, b"x" * 2_000_000) == 499
    assert asked(guard, "/gradio_api/upload", 5_500_000) == 299
    assert asked(guard, "/gradio_api/upload", 7_000_000) == 413


def test_a_full_disk_takes_no_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10_000_000))
    guard = Guard(behind, tmp_path, 5_000_000)
    assert asked(guard, "/gradio_api/upload", 1000) == 507
    assert asked(guard, "/gradio_api/queue/join", 1000) == 299


def test_missing_weights_and_open_terms_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("THG_ZOO_ACCEPT_LICENSES", raising=False)
    with pytest.raises(LicenceError, match="Models tab"):
        studio.require_weights("wav2lip", Settings())
    with pytest.raises(LicenceError, match="Choose another model"):
        studio.require_weights("wav2lip", Settings(manage=False))
    monkeypatch.setenv("THG_ZOO_ACCEPT_LICENSES", "all")
    monkeypatch.setattr("thg_zoo.weights.installation.is_installed", lambda variant: False)
    with pytest.raises(DownloadError, match="Models tab"):
        studio.require_weights("wav2lip", Settings())
    studio.require_weights("wav2lip", Settings(weights="random"))
    studio.require_weights("warp", Settings())


def test_what_the_browser_kept_is_read_with_suspicion(tmp_path: Path) -> None:
    with gr.Blocks(analytics_enabled=False):
        memory = Memory(tmp_path)
        components = [gr.Textbox(label="a"), gr.File(label="b"), gr.File(label="c")]
        others = [gr.Textbox(label="a"), gr.File(label="b"), gr.File(label="d")]
    path = upload(tmp_path)
    values = ["text", as_value(path), {"path": "/etc/passwd"}]
    layout = re.search(r'layout: "(\w+)"', memory.script("tab", components))
    assert layout
    state = {"visitor": "me", "tab": {"layout": layout[1], "values": values}}
    assert visitor_of(state) == "me"
    assert memory.values(state, "tab", components) == ["text", str(path), None]
    assert memory.values(state, "tab", others) is None
    assert memory.values(None, "tab", components) is None
    assert memory.values({"tab": "nonsense"}, "tab", components) is None


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("THG_ZOO_ACCEPT_LICENSES", raising=False)
    (tmp_path / "root").mkdir()
    made = Service(Settings(), tmp_path / "root")
    yield made
    made.close()


def pressed(service: Service, model: str) -> list[list[Any]]:
    """What pressing a model's button on the Models tab shows, from first to last."""

    async def collect() -> list[list[Any]]:
        return [update async for update in tab.fetching(describe(model))()]

    with gr.Blocks(analytics_enabled=False):
        tab = ModelsTab(service)
    return asyncio.run(collect())


def test_fetching_shows_progress_and_ends_ready(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    here: list[str] = []
    monkeypatch.setattr("thg_zoo.weights.installation.is_installed", lambda variant: variant.name in here)

    def fetch_all(variant: Any, *, accept_licence: bool, progress: Any) -> None:
        assert accept_licence
        for done in (100_000_000, 300_000_000):
            progress("wav2lip.pth", done, 400_000_000)
            time.sleep(0.5)
        for file in variant.files:
            licences.accept(file.licence)
        here.append(variant.name)

    monkeypatch.setattr("thg_zoo.weights.fetch_all", fetch_all)
    shown = pressed(service, "wav2lip")
    cards = [update[1]["value"] for update in shown if "value" in update[1]]
    assert any("300 of 400 MB" in card for card in cards)
    text, state, button = shown[-1]
    assert "ready" in text
    assert state["visible"] is False
    assert button["visible"] is False


def test_fetching_says_what_is_wrong(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch_all(variant: Any, *, accept_licence: bool, progress: Any) -> None:
        raise DownloadError("wav2lip.pth could not be had.", "Download it by hand.")

    monkeypatch.setattr("thg_zoo.weights.fetch_all", fetch_all)
    _, state, button = pressed(service, "wav2lip")[-1]
    assert "could not be had" in state["value"]
    assert "Download it by hand." in state["value"]
    assert button["interactive"]
    assert button["value"].startswith("Accept the terms and fetch 526 MB")


def test_visitors_of_a_public_page_fetch_nothing(tmp_path: Path) -> None:
    service = Service(Settings(manage=False), tmp_path)
    try:
        assert "operator" in pressed(service, "wav2lip")[-1][1]["value"]
    finally:
        service.close()


class EditedPortrait:
    """A prepared portrait that writes its options where a model would draw them."""

    def animate(self, driver: None, *, smile: float = 0.0, **calls: Any) -> EditedPortrait:
        self.smile = smile
        return self

    def save(self, path: Path) -> Path:
        path.write_text(f"smile {self.smile}")
        return path


def test_edits_of_one_picture_prepare_it_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[Path] = []

    def prepare(source: Path, **calls: Any) -> EditedPortrait:
        prepared.append(source)
        return EditedPortrait()

    monkeypatch.setattr(studio.Studio, "model", lambda self, name: SimpleNamespace(prepare=prepare))
    monkeypatch.setattr("thg_zoo.demo.service.require_weights", lambda name, settings: None)
    visitor = service.visitors.of("page")
    pictures = [upload(service.root, name) for name in ("a.png", "b.png")]
    made = []
    for picture, smile in [(pictures[0], 0.5), (pictures[0], 1.0), (pictures[1], 0.5)]:
        job = service.edit(visitor, "liveportrait", as_value(picture), {"smile": smile})
        wait_for(lambda job=job: job.finished)
        made.append((job.result.name, job.result.read_text()))
    assert made == [("a-edited.png", "smile 0.5"), ("a-edited.png", "smile 1.0"), ("b-edited.png", "smile 0.5")]
    assert [path.name for path in prepared] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("model", "sliders"),
    [
        ("liveportrait", {"pitch", "yaw", "smile", "gaze_x"}),
        ("lia", {"d0", "d19"}),
        ("pirender", {"pitch", "yaw", "move_z", "expression_scale"}),
    ],
)
def test_the_sliders_of_an_editable_model_are_at_hand(model: str, sliders: set[str]) -> None:
    with gr.Blocks(analytics_enabled=False):
        groups = editing_groups(list_models(driver="edit"), model)
    (group,) = (group for group in groups if model in group.models)
    assert [g.box.visible for g in groups] == [g is group for g in groups]
    names = [control.option.name for control in group.controls]
    assert sliders <= set(names[:20])
    assert "landmark_model" not in names
    assert all(control.option.stage == "driver" for control in group.controls)
    values = [control.component.value for g in groups for control in g.controls]
    assert chosen(groups, model, values) == {}


@pytest.mark.parametrize(("model", "option"), [("pirender", "pitch"), ("liveportrait", "eyes_open_ratio")])
def test_numbers_that_may_be_left_open_are_text(model: str, option: str) -> None:
    """A number field of the page without a value says 0."""
    described = describe(model)
    with gr.Blocks(analytics_enabled=False):
        (group,) = control_groups([described], model)
    index = [control.option.name for control in group.controls].index(option)
    assert isinstance(group.controls[index].component, gr.Textbox)
    values = [control.component.value for control in group.controls]
    assert chosen([group], model, values) == {}
    values[index] = "0.25"
    assert getattr(described.resolve(chosen([group], model, values)), option) == 0.25
