"""Downloads by the real client from a hub that fails in every known way."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local_hub import FIRST_COMMIT
from thg_zoo.errors import DownloadError, VerificationError
from thg_zoo.spec import FileSource, WeightFile
from thg_zoo.weights import (
    HubStatus,
    cache_status,
    fetch,
    folders,
    hub_status,
    installation,
    installed,
    records,
    verification,
)
from weights_setup import REPO, Machine, hub_source, machine, weight_file  # noqa: F401 (fixture)

CONTENT = bytes(range(256)) * 4096  # 1 MiB
OTHER = CONTENT[:-1] + b"?"


def asset(hub_url: str, name: str = "net.pth", **more: object) -> FileSource:
    return FileSource("https", url=f"{hub_url}/assets/{name}", **more)  # type: ignore[arg-type]


@pytest.fixture
def published(machine: Machine) -> WeightFile:
    machine.hub.add(REPO, "net.pth", CONTENT)
    return weight_file(CONTENT)


def assert_good(path: Path | None) -> None:
    assert path is not None
    assert path.read_bytes() == CONTENT


def test_a_file_is_fetched_once_and_proved(machine: Machine, published: WeightFile) -> None:
    record = fetch(published)
    assert_good(record.path)
    assert record.verified == "sha256"
    assert record.sha256 == published.sha256
    assert record.source == f"huggingface:{REPO}@{FIRST_COMMIT}:net.pth"
    asked = len(machine.hub.requests)
    again = fetch(published)
    assert again == record
    assert len(machine.hub.requests) == asked, "a file in the cache is used without asking the hub"


@pytest.mark.parametrize("repo", ["spaces/someone/demo", "datasets/someone/tables"])
def test_spaces_and_datasets(machine: Machine, repo: str) -> None:
    machine.hub.add(repo, "deep/net.pth", CONTENT)
    assert_good(fetch(weight_file(CONTENT, hub_source(repo, "deep/net.pth"))).path)


def test_shortened_commits_are_completed_and_found_again_offline(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.hub.add(REPO, "net.pth", CONTENT)
    file = weight_file(CONTENT, hub_source(revision=FIRST_COMMIT[:7]))
    assert_good(fetch(file).path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert_good(fetch(file).path)


def test_a_moving_branch_is_named(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.hub.add(REPO, "net.pth", CONTENT)
    fetch(weight_file(CONTENT, hub_source(revision="main")))
    assert "moving branch 'main'" in caplog.text


def test_a_cut_connection_is_resumed_where_it_ended(machine: Machine, published: WeightFile) -> None:
    machine.hub.fail("net.pth", cut_after=300_000, times=2)
    assert_good(fetch(published).path)
    ranges = [r.range for r in machine.hub.bodies("net.pth")]
    assert ranges == [None, "bytes=300000-", "bytes=600000-"]


def test_a_slow_server_only_takes_time(machine: Machine, published: WeightFile) -> None:
    machine.hub.fail("net.pth", seconds=0.3)
    assert_good(fetch(published).path)


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_rate_limit_is_waited_for(machine: Machine, published: WeightFile, where: str) -> None:
    machine.hub.fail("net.pth", at=where, status=429, headers={"Retry-After": "7"}, times=4)
    assert_good(fetch(published).path)
    assert any(7 <= nap <= 8 for nap in machine.naps.slept)


def test_a_failing_server_is_asked_again(machine: Machine, published: WeightFile) -> None:
    machine.hub.fail("net.pth", at="head", status=500, times=3)
    assert_good(fetch(published).path)


PERMANENT = {
    "404": ({"at": "head", "status": 404}, "no such file"),
    "gated": ({"at": "head", "status": 401}, "gated: accept its terms at"),
    "500": ({"at": "head", "status": 500}, "answered 500"),
    "429": ({"at": "head", "status": 429, "headers": {"Retry-After": "3600"}}, "asks to wait 3600 seconds"),
    "404 of the bytes": ({"status": 404}, "no such file"),
    "500 of the bytes": ({"status": 500}, "answered 500"),
    "wrong content under the right tag": ({"content": OTHER}, "its sha256 is"),
    "a web page": ({"content": b"<!DOCTYPE html><title>Sign in</title>"}, "net.pth|size"),
    "truncated": ({"content": CONTENT[:1000]}, "size|bytes"),
    "cut again and again": ({"cut_after": 0}, "peer closed|incomplete|closed connection"),
    "another hash announced": ({"at": "head", "tag": "ab" * 32}, "holds another file there"),
}


@pytest.mark.parametrize("fault", PERMANENT)
def test_a_fault_that_stays_is_one_clear_error_and_the_next_try_works(
    machine: Machine, published: WeightFile, fault: str
) -> None:
    what, said = PERMANENT[fault]
    machine.hub.fail("net.pth", **what)
    with pytest.raises(DownloadError) as caught:
        fetch(published)
    text = str(caught.value)
    assert f"(1) huggingface:{REPO}@{FIRST_COMMIT}:net.pth: " in text
    assert re.search(said, text), text
    assert published.sha256 in text
    assert "thg-zoo weights import FILE toy" in text
    assert str(folders.by_hand(published)) in text
    assert "\n" not in text
    assert installed(published) is None
    assert machine.files() == [], "nothing half-valid is left"
    machine.hub.heal()
    assert_good(fetch(published).path)


@pytest.mark.parametrize("fault", PERMANENT)
def test_the_next_source_is_tried(machine: Machine, fault: str) -> None:
    machine.hub.add(REPO, "net.pth", CONTENT)
    machine.hub.add("another/mirror", "copy.pth", CONTENT)
    file = weight_file(CONTENT, hub_source(), hub_source("another/mirror", "copy.pth"))
    machine.hub.fail("net.pth", **PERMANENT[fault][0])
    record = fetch(file)
    assert_good(record.path)
    assert record.source.startswith("huggingface:another/mirror@")


def test_a_wrong_file_under_the_right_name_costs_no_download(machine: Machine) -> None:
    machine.hub.add(REPO, "net.pth", OTHER)
    with pytest.raises(DownloadError, match="holds another file there"):
        fetch(weight_file(CONTENT))
    assert machine.hub.bodies("net.pth") == []


def test_a_file_of_equal_size_with_other_bytes_is_refused_without_a_tag(machine: Machine) -> None:
    machine.hub.assets["net.pth"] = OTHER
    with pytest.raises(DownloadError, match="its sha256 is"):
        fetch(weight_file(CONTENT, asset(machine.hub.url)))
    assert machine.files() == []


def test_all_sources_are_told(machine: Machine) -> None:
    machine.hub.add(REPO, "other.pth", CONTENT)
    manual = FileSource("manual", url="https://drive.example/folder", path="Net.pt", note="log in first")
    file = weight_file(CONTENT, hub_source(), hub_source("gone/repo"), asset(machine.hub.url), manual)
    with pytest.raises(DownloadError) as caught:
        fetch(file)
    text = str(caught.value)
    assert "no such file at that revision" in text
    assert "(2) huggingface:gone/repo@" in text
    assert "the server answered 404" in text
    assert "https://drive.example/folder as Net.pt (log in first)" in text


def test_no_network_at_all(machine: Machine, published: WeightFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    machine.hub.assets["net.pth"] = CONTENT
    file = weight_file(CONTENT, hub_source(), hub_source("another/mirror"), asset(machine.hub.url))
    assert fetch(file).source == f"{machine.hub.url}/assets/net.pth", "the hub is given up, other addresses are not"


def test_the_token_goes_to_the_hub(machine: Machine, published: WeightFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(published)
    heads = [r for r in machine.hub.requests if r.method == "HEAD"]
    assert {r.authorization for r in heads} == {"Bearer hf_secret"}


def test_the_token_does_not_go_to_release_pages(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    machine.hub.assets["net.pth"] = CONTENT
    fetch(weight_file(CONTENT, asset(machine.hub.url)))
    assert {r.authorization for r in machine.hub.requests} == {None}


def test_a_wrong_file_in_the_hubs_cache_is_replaced(machine: Machine, published: WeightFile) -> None:
    path = fetch(published).path
    assert path is not None
    path.resolve().write_bytes(OTHER)
    assert_good(fetch(published).path)


def test_damage_is_found_although_the_size_is_right(machine: Machine, published: WeightFile) -> None:
    path = fetch(published).path
    assert path is not None
    os.utime(path.resolve(), ns=(1, 1))
    path.resolve().write_bytes(OTHER)
    machine.hub.fail("net.pth", at="head", status=404)
    with pytest.raises(DownloadError, match="no such file"):
        fetch(published)
    assert installed(published) is None


def test_the_hash_is_read_once(machine: Machine, published: WeightFile, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(published)
    monkeypatch.setattr(verification, "digest", lambda *_: pytest.fail("read again"))
    fetch(published)


def test_a_file_that_changes_while_its_hash_is_read_is_read_again(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(b"before")
    digest = verification.digest

    def changing(file: Path) -> str:
        value = digest(file)
        path.write_bytes(b"afterwards")
        return value

    monkeypatch.setattr(verification, "digest", changing)
    verification.known_digest(path)
    monkeypatch.setattr(verification, "digest", digest)
    assert verification.known_digest(path) == digest(path)


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_records_can_be_read_by_whoever_may_read_the_folder(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    records.change(tmp_path / "record.json", lambda data: data.update(a=1))
    assert (tmp_path / "record.json").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "record.json", "record.json.lock"]


def test_offline_with_a_filled_cache(machine: Machine, published: WeightFile, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(published)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    asked = len(machine.hub.requests)
    assert_good(fetch(published).path)
    assert len(machine.hub.requests) == asked


def test_offline_with_an_empty_cache_names_what_is_missing(
    machine: Machine, published: WeightFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match=r"net\.pth \(network\) could not be had.*HF_HUB_OFFLINE"):
        fetch(published)
    assert machine.hub.requests == []


def test_progress_reaches_the_whole(machine: Machine, published: WeightFile) -> None:
    seen: list[tuple[str, int, int | None]] = []
    machine.hub.assets["second.pth"] = CONTENT
    fetch(published, progress=lambda *step: seen.append(step))
    fetch(
        weight_file(CONTENT, asset(machine.hub.url, "second.pth"), name="second.pth"),
        progress=lambda *step: seen.append(step),
    )
    for name in ("net.pth", "second.pth"):
        mine = [step for step in seen if step[0] == name]
        assert mine[-1] == (name, len(CONTENT), len(CONTENT))
        assert [s[1] for s in mine] == sorted(s[1] for s in mine)


def test_cancelling_by_the_callback_leaves_nothing(machine: Machine, published: WeightFile) -> None:
    def stop(_: str, done: int, __: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(published, progress=stop)
    assert machine.files() == []
    assert_good(fetch(published).path)


class TestReleaseAssets:
    def test_fetched_proved_and_kept(self, machine: Machine) -> None:
        machine.hub.assets["net.pth"] = CONTENT
        file = weight_file(CONTENT, asset(machine.hub.url))
        record = fetch(file)
        assert_good(record.path)
        assert record.verified == "sha256"
        assert fetch(file) == record
        assert len(machine.hub.requests) == 1

    def test_a_later_process_takes_up_what_was_cut_off(self, machine: Machine) -> None:
        machine.hub.assets["net.pth"] = CONTENT
        file = weight_file(CONTENT, asset(machine.hub.url))
        machine.hub.fail("net.pth", cut_after=250_000, times=1)
        machine.hub.fail("net.pth", status=503)
        with pytest.raises(DownloadError, match="503"):
            fetch(file)
        assert installed(file) is None
        machine.hub.heal()
        machine.hub.requests.clear()
        assert_good(fetch(file).path)
        assert [r.range for r in machine.hub.bodies("net.pth")] == ["bytes=250000-"]

    def test_a_damaged_first_half_is_fetched_again(self, machine: Machine) -> None:
        machine.hub.assets["net.pth"] = CONTENT
        source = asset(machine.hub.url)
        partial = folders.asset(source).with_name("net.pth.incomplete")
        partial.parent.mkdir(parents=True)
        partial.write_bytes(b"x" * 1000)
        assert_good(fetch(weight_file(CONTENT, source)).path)

    def test_bytes_known_as_another_file_are_refused_where_no_hash_is_published(self, machine: Machine) -> None:
        machine.hub.assets["net.pth"] = CONTENT
        refused = {hashlib.sha256(CONTENT).hexdigest(): "the file of the other variant"}
        file = dataclasses.replace(weight_file(CONTENT, asset(machine.hub.url)), sha256="", refused=refused)
        with pytest.raises(DownloadError, match="it is the file of the other variant"):
            fetch(file)
        assert installed(file) is None

    def test_a_file_that_shrank_is_fetched_again(self, machine: Machine) -> None:
        machine.hub.assets["net.pth"] = CONTENT
        source = asset(machine.hub.url)
        partial = folders.asset(source).with_name("net.pth.incomplete")
        partial.parent.mkdir(parents=True)
        partial.write_bytes(CONTENT + b"more than there is now")
        assert_good(fetch(weight_file(None, source)).path)

    @pytest.mark.parametrize("fault", [{"status": 404}, {"status": 500}, {"content": OTHER}, {"content": CONTENT[:99]}])
    def test_faults(self, machine: Machine, fault: dict[str, object]) -> None:
        machine.hub.assets["net.pth"] = CONTENT
        machine.hub.fail("net.pth", **fault)
        file = weight_file(CONTENT, asset(machine.hub.url))
        with pytest.raises(DownloadError):
            fetch(file)
        assert installed(file) is None
        machine.hub.heal()
        assert_good(fetch(file).path)


class TestFirstUse:
    def test_the_first_hash_is_recorded_and_said(self, machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
        sha256 = machine.hub.add(REPO, "net.pth", CONTENT)
        record = fetch(weight_file(None))
        assert (record.verified, record.sha256) == ("first use", sha256)
        assert f"recorded: {sha256}" in caplog.text
        caplog.clear()
        assert fetch(weight_file(None)).verified == "first use"
        assert caplog.text == ""

    def test_another_file_later_is_refused(self, machine: Machine) -> None:
        machine.hub.add(REPO, "net.pth", CONTENT)
        file = weight_file(None)
        path = fetch(file).path
        assert path is not None
        installation.evict(path)
        machine.hub.add(REPO, "net.pth", OTHER)
        with pytest.raises(DownloadError, match=r"not the net\.pth of the first use"):
            fetch(file)

    def test_known_wrong_bytes_are_refused_even_then(self, machine: Machine) -> None:
        wrong = machine.hub.add(REPO, "net.pth", OTHER)
        with pytest.raises(DownloadError, match="it is a saved web page"):
            fetch(weight_file(None, refused={wrong: "a saved web page"}))


class TestByHand:
    def test_a_copy_in_the_folder_is_used(self, machine: Machine) -> None:
        file = weight_file(CONTENT)
        folders.by_hand(file).parent.mkdir(parents=True)
        folders.by_hand(file).write_bytes(CONTENT)
        record = fetch(file)
        assert (record.source, record.verified) == ("by hand", "sha256")
        assert machine.hub.requests == []

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "a git-lfs pointer"),
            (b"../../blobs/0123456789abcdef", "the text of a symbolic link"),
            (b"<!doctype html>\n<html><body>Sign in</body></html>", "a web page"),
            (b'{"error": "not found"}', "a JSON text"),
            (b"", "an empty file"),
            (OTHER, "its sha256 is"),
        ],
    )
    def test_a_wrong_copy_is_named_and_passed_over(self, machine: Machine, content: bytes, said: str) -> None:
        file = weight_file(CONTENT)
        folders.by_hand(file).parent.mkdir(parents=True)
        folders.by_hand(file).write_bytes(content)
        with pytest.raises(DownloadError, match=said):
            fetch(file)
        assert folders.by_hand(file).read_bytes() == content, "what a person put there is not removed"
        machine.hub.add(REPO, "net.pth", CONTENT)
        assert_good(fetch(file).path)


class TestFullDisk:
    def test_too_little_space_is_said_before_the_transfer(
        self, machine: Machine, published: WeightFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = type("Usage", (), {"free": 1000})
        monkeypatch.setattr("thg_zoo.weights.fetching.shutil.disk_usage", lambda _: usage)
        with pytest.raises(DownloadError, match=r"disk is full: net\.pth needs 1 MB"):
            fetch(published)
        assert machine.hub.bodies("net.pth") == []

    @pytest.mark.parametrize("kind", ["huggingface", "https"])
    def test_writing_that_fails_leaves_nothing(
        self, machine: Machine, published: WeightFile, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        machine.hub.assets["net.pth"] = CONTENT
        file = published if kind == "huggingface" else weight_file(CONTENT, asset(machine.hub.url))
        from huggingface_hub import file_download

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(file_download, "http_get", full)
        with pytest.raises(DownloadError, match="disk is full"):
            fetch(file)
        monkeypatch.undo()
        assert installed(file) is None

    @pytest.mark.filterwarnings("ignore:Not enough free disk space")
    @pytest.mark.parametrize("kind", ["huggingface", "https"])
    def test_a_file_system_that_is_really_full(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        machine.hub.add(REPO, "net.pth", CONTENT)
        machine.hub.assets["net.pth"] = CONTENT
        place = machine.folder / "hf"
        place.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", place], capture_output=True).returncode:
            pytest.skip("mounting a small file system needs the rights of root")
        try:
            # Of unknown size, so that only the write itself can find out.
            file = weight_file(None, hub_source() if kind == "huggingface" else asset(machine.hub.url))
            with pytest.raises(DownloadError, match="disk is full"):
                fetch(file)
            assert installed(file) is None
            subprocess.run(["mount", "-o", "remount,size=8m", place], check=True)
            assert_good(fetch(file).path)
        finally:
            subprocess.run(["umount", place], check=True)


def test_a_cache_that_cannot_be_written_is_said(machine: Machine, published: WeightFile) -> None:
    (machine.folder / "hf").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(published)


PULL = """
import sys
from thg_zoo.spec import FileSource, Licence, WeightFile
from thg_zoo.weights import fetch
kind, url, sha256 = sys.argv[1:]
hub = FileSource("huggingface", "{repo}", path="net.pth", revision="{commit}")
source = FileSource("https", url=url) if kind == "https" else hub
record = fetch(WeightFile("net.pth", "network", Licence("MIT", True), (source,), {{}}, {size}, sha256, model="toy"))
print(record.path)
"""


@pytest.mark.parametrize("kind", ["huggingface", "https"])
def test_two_processes_at_once_end_with_one_good_copy(machine: Machine, kind: str) -> None:
    sha256 = machine.hub.add(REPO, "net.pth", CONTENT)
    machine.hub.assets["net.pth"] = CONTENT
    machine.hub.fail("net.pth", seconds=0.5)
    script = PULL.format(repo=REPO, commit=FIRST_COMMIT, size=len(CONTENT))
    command = [sys.executable, "-c", script, kind, f"{machine.hub.url}/assets/net.pth", sha256]
    environment = os.environ | machine.environment
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    paths = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(paths) == 1
    assert_good(Path(paths.pop()))
    assert len(machine.hub.bodies("net.pth")) == 1, "the second process waits for the first"
    assert len(machine.files()) == (2 if kind == "huggingface" else 1)  # the hub's cache: a blob and a link to it


def test_verification_names_both_hashes(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(OTHER)
    with pytest.raises(VerificationError) as caught:
        verification.verify(path, weight_file(CONTENT), hub_source())
    assert hashlib.sha256(OTHER).hexdigest() in caught.value.message
    assert hashlib.sha256(CONTENT).hexdigest() in caught.value.message


class TestStatus:
    def test_the_hub_answers(self, machine: Machine) -> None:
        assert hub_status() == HubStatus(machine.hub.url, True, False)

    def test_nobody_answers(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        status = hub_status(timeout=1)
        assert not status.reachable
        assert status.reason

    def test_offline_by_wish(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert hub_status() == HubStatus(machine.hub.url, False, True, "HF_HUB_OFFLINE is set")
        assert machine.hub.requests == []

    def test_the_size_of_the_caches(self, machine: Machine, published: WeightFile) -> None:
        assert cache_status().n_bytes == 0
        fetch(published)
        status = cache_status()
        assert len(CONTENT) <= status.n_bytes < len(CONTENT) + 10_000, "a link and its target count once"
        assert status.hub_folder == machine.folder / "hf" / "hub"
