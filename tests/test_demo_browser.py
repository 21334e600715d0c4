"""The page in a real browser: Debian's chromium, driven by playwright."""

from __future__ import annotations

import json
import re
import shutil
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the demo needs gradio")
pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright
from playwright.sync_api import Page as Tab

from demo_server import Page, running
from thg_zoo.demo.gradio_versions import MAJOR
from thg_zoo.media.probe import probe
from thg_zoo.zoo import list_models

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no chromium")
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with running(tmp_path_factory.mktemp("server"), HF_HOME=str(tmp_path_factory.mktemp("hub"))) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser: Browser, page: Page) -> Iterator[Tab]:
    """A visitor of its own on the page. Errors of the page's scripts fail the test."""
    with_storage = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened = with_storage.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.set_default_timeout(PATIENCE)
    visit(opened, page)
    yield opened
    with_storage.close()
    assert not problems


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, face_path: Path, speech_path: Path) -> Path:
    """Small files to upload: face.png, noface.png, notes.png (no picture), speech.wav (0.5 s), long.wav (7 minutes)."""
    made = tmp_path_factory.mktemp("files")
    Image.open(face_path).resize((256, 256)).save(made / "face.png")
    Image.new("RGB", (256, 256), "grey").save(made / "noface.png")
    (made / "notes.png").write_text("this is no picture, whatever its name says\n" * 9)
    with wave.open(str(speech_path)) as whole:
        rate, frames = whole.getframerate(), whole.readframes(whole.getnframes())
        for name, content in {"speech.wav": frames[rate : 2 * rate], "long.wav": frames * 60}.items():
            with wave.open(str(made / name), "wb") as part:
                part.setparams(whole.getparams())
                part.writeframes(content)
    return made


def visit(tab: Tab, page: Page) -> None:
    tab.goto(page.url)
    expect(tab.locator("#animate-run")).to_be_enabled(timeout=PATIENCE)
    expect(tab.locator("#animate-status")).to_contain_text("Ready when you are")
    tab.wait_for_function("localStorage.getItem('thg-zoo')")


def give(tab: Tab, part: str, path: Path) -> None:
    """Upload a file to a part of the Animate tab, and wait until it is there."""
    tab.locator(f"#animate-{part} input[type=file]").first.set_input_files(path)
    tab.locator(f"#animate-{part}").get_by_label(re.compile("Clear|Remove")).first.wait_for()


def run(tab: Tab) -> None:
    tab.locator("#animate-run").click()


def outcome(tab: Tab, kind: str) -> str:
    """The card of that kind, once it is there."""
    card = tab.locator(f"#animate-status .zoo-{kind}")
    expect(card).to_be_visible(timeout=PATIENCE)
    return card.inner_text()


def test_upload_run_watch_play_download(tab: Tab, folder: Path, tmp_path: Path) -> None:
    give(tab, "picture", folder / "face.png")
    give(tab, "speech", folder / "speech.wav")
    run(tab)
    outcome(tab, "running")
    assert "0.5 s · 13 frames · 256 × 256" in outcome(tab, "done")
    player = tab.locator("#animate-video video")
    tab.wait_for_function("document.querySelector('#animate-video video')?.currentTime > 0.1")
    assert player.evaluate("v => [v.videoWidth, v.videoHeight, v.error]") == [256, 256, None]
    with tab.expect_download() as download:
        tab.get_by_text("Download the video").click()
    download.value.save_as(tmp_path / "out.mp4")
    assert download.value.suggested_filename == "face-speech-warp.mp4"
    found = probe(tmp_path / "out.mp4")
    assert (found.width, found.height, found.n_frames, found.has_audio) == (256, 256, 13, True)


def test_the_example_in_three_clicks_with_options(tab: Tab) -> None:
    tab.locator("#animate-example").click()
    expect(tab.locator("#animate-picture img").first).to_be_visible()
    blink = tab.get_by_label("number input for Blink")
    blink.fill("3")
    blink.press("Tab")
    run(tab)
    expect(tab.locator("#animate-status")).to_contain_text(re.compile(r"\d+ of 186 frames · \d+ fps · 0:\d\d left"))
    outcome(tab, "done")
    tab.get_by_text("Report of the run").click()
    text = tab.locator(".cm-content").inner_text()
    assert '"blink": 3' in text
    assert '"mouth": 1.0' in text


@pytest.mark.parametrize(
    ("picture", "message", "remedy"),
    [
        ("noface.png", "face", ""),
        ("notes.png", "notes.png holds text, not a picture, sound or video.", "Check that the right file was given."),
    ],
)
def test_errors_are_one_line_and_a_remedy(tab: Tab, folder: Path, picture: str, message: str, remedy: str) -> None:
    tab.locator("#animate-picture input[type=file]").first.set_input_files(folder / picture)
    give(tab, "speech", folder / "speech.wav")
    expect(tab.locator("#animate-picture img").first).to_be_attached()
    run(tab)
    card = outcome(tab, "failed")
    assert message in card
    assert remedy in card
    assert "/" not in card
    expect(tab.locator("#animate-run")).to_be_enabled()


def test_nothing_given(tab: Tab) -> None:
    run(tab)
    assert "There is no face." in outcome(tab, "failed")


def test_the_second_visitor_waits_visibly_and_the_first_cancels(
    tab: Tab, browser: Browser, page: Page, folder: Path
) -> None:
    other = browser.new_context()
    second = other.new_page()
    visit(second, page)
    for visitor, speech in ((tab, "long.wav"), (second, "speech.wav")):
        give(visitor, "picture", folder / "face.png")
        give(visitor, "speech", folder / speech)
    run(tab)
    expect(tab.locator("#animate-status")).to_contain_text("Rendering")
    run(second)
    expect(second.locator("#animate-status .zoo-waiting")).to_contain_text("You are next")
    tab.locator("#animate-cancel").click()
    assert "Cancelled" in outcome(tab, "cancelled")
    assert "13 frames" in outcome(second, "done")
    assert tab.locator("#animate-video video").count() == 0
    hers = second.locator("#animate-video video").evaluate("v => v.currentSrc")
    assert hers.startswith(f"{page.url}/gradio_api/file=")
    other.close()


def test_a_reload_changes_nothing(tab: Tab, page: Page, folder: Path) -> None:
    give(tab, "picture", folder / "face.png")
    give(tab, "speech", folder / "long.wav")
    smoothing = tab.get_by_label("number input for Smoothing")
    smoothing.fill("2")
    smoothing.press("Tab")
    run(tab)
    expect(tab.locator("#animate-status")).to_contain_text("Rendering")
    tab.reload()
    expect(tab.locator("#animate-status")).to_contain_text("Rendering")
    expect(tab.get_by_label("number input for Smoothing")).to_have_value("2")
    expect(tab.locator("#animate-picture img").first).to_be_visible()
    tab.locator("#animate-cancel").click()
    outcome(tab, "cancelled")
    give_again = tab.locator("#animate-speech")
    give_again.get_by_label(re.compile("Clear|Remove")).first.click()
    give(tab, "speech", folder / "speech.wav")
    run(tab)
    outcome(tab, "done")
    tab.reload()
    assert "13 frames" in outcome(tab, "done")
    tab.wait_for_function("document.querySelector('#animate-video video')?.duration > 0.4")


def test_the_picker_shows_models_that_fit(tab: Tab) -> None:
    def offered() -> set[str]:
        tab.locator("#animate-model input").click()
        names = tab.locator("#animate-model [role=option], ul[role=listbox] [role=option]")
        expect(names.first).to_be_visible()
        found = {text.strip().lstrip("✓").strip().split(" ")[0] for text in names.all_inner_texts()}
        tab.keyboard.press("Escape")
        return found

    def fitting(source: str, driver: str) -> set[str]:
        return {m.name for m in list_models(driver=driver) if source in m.spec.sources}

    assert offered() == fitting("image", "audio")
    tab.locator("#animate-driver-kind").get_by_text("Video").click()
    expect(tab.locator("#animate-motion")).to_be_visible()
    expect(tab.locator("#animate-speech")).not_to_be_visible()
    assert offered() == fitting("image", "video")


def test_models_say_what_they_need_and_under_which_terms(tab: Tab) -> None:
    tab.get_by_role("tab", name="Models").click()
    card = tab.locator(".zoo-card", has_text="wav2lip-gan")
    expect(card).to_contain_text("526 MB")
    expect(card).to_contain_text("no commercial use")
    expect(card.locator("details")).to_have_attribute("open", "")
    expect(card).to_contain_text("any commercial use is forbidden by the authors")
    expect(tab.locator("#fetch-wav2lip-gan")).to_have_text("Accept the terms and fetch 526 MB")
    expect(tab.locator("#fetch-warp")).not_to_be_visible()


def test_compare_makes_a_grid_and_a_table(tab: Tab, folder: Path) -> None:
    tab.get_by_role("tab", name="Compare").click()
    tab.locator("#compare-picture input[type=file]").first.set_input_files(folder / "face.png")
    tab.locator("#compare-speech input[type=file]").first.set_input_files(folder / "speech.wav")
    tab.locator("#compare-speech").get_by_label(re.compile("Clear|Remove")).first.wait_for()
    tab.locator("#compare-run").click()
    expect(tab.locator("#compare-status .zoo-done")).to_contain_text("1 of 1 models", timeout=2 * PATIENCE)
    expect(tab.locator("#compare-table td").first).to_have_text("warp")
    tab.wait_for_function("document.querySelector('#compare-grid video')?.videoWidth > 0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(browser: Browser, page: Page, scheme: Any) -> None:
    phone = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, color_scheme=scheme)
    tab = phone.new_page()
    visit(tab, page)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    expect(tab.locator("footer .divider:visible")).to_have_count(0)
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(c => c < 60)")
    assert dark == (scheme == "dark")
    phone.close()


def test_the_keyboard_s_place_is_seen_and_has_a_name(tab: Tab) -> None:
    expect(tab.locator("#animate-source-kind")).to_contain_text("Kind of face")
    model = tab.locator("#animate-model input")
    expect(model).to_have_attribute("aria-label", "Model")
    kind, slider = tab.locator("#animate-source-kind input").first, tab.get_by_label("range slider for Mouth").first
    for part, frame in ((kind, "label"), (model, ".wrap-inner"), (slider, "input")):
        width = ""
        # A page that is still being built takes the focus away again.
        for _ in range(10):
            part.focus()
            tab.keyboard.press("Shift+Tab")
            tab.keyboard.press("Tab")
            width = part.evaluate("(e, frame) => getComputedStyle(e.closest(frame)).outlineWidth", frame)
            if width == "2px":
                break
            tab.wait_for_timeout(300)
        assert width == "2px"


def test_nothing_is_loaded_from_other_hosts(browser: Browser, page: Page) -> None:
    context = browser.new_context()
    tab = context.new_page()
    hosts: set[str] = set()
    tab.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "://" in request.url else None)
    visit(tab, page)
    time.sleep(0.5)
    # The page of gradio 5 itself asks for one script, and does without it.
    assert hosts - ({"cdnjs.cloudflare.com"} if MAJOR < 6 else set()) == {page.url.split("/")[2]}
    context.close()


def test_the_page_starts_fast_and_without_a_model(tmp_path: Path) -> None:
    with running(tmp_path) as page:
        maps = Path(f"/proc/{page.process.pid}/maps")
        if maps.is_file():
            assert "libtorch" not in maps.read_text()
        # Five seconds on a quiet machine (docs/api.md); a busy one may take three times as long.
        assert page.started < 15, json.dumps(page.started)
