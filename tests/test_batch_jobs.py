"""The engine of many jobs on this machine: what is done once stays done, whatever happens to the processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from job_workers import complete, deadly, jobs_of, partly_unable, started, task, unable, writer
from kill_runs import MARK, needs_proc, run_under_fire, vanished, workers_of
from thg_zoo.errors import BatchError, InputError, MediaError, OutputError, UsageError
from thg_zoo.jobs import Job, LocalEngine, Record, read_records, run_jobs
from thg_zoo.jobs.ledger import Ledger
from thg_zoo.jobs.plan import Plan
from thg_zoo.jobs.session import _write_down
from thg_zoo.jobs.summary import read_summary


def run(folder: Path, jobs: list[Job], workers: int = 2, **arguments: Any) -> dict[str, Record]:
    """The new records by id."""
    engine = arguments.pop("engine", None) or LocalEngine(workers, "cpu")
    return {r.id: r for r in run_jobs(jobs, arguments.pop("factory", writer), folder, engine=engine, **arguments)}


def ids(n: int) -> list[str]:
    return [f"job{i}" for i in range(n)]


def test_every_job_is_done_once_and_written_down(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    records = run(tmp_path, jobs_of(tmp_path, 12), notify=events.append)
    assert sorted(started(tmp_path)) == sorted(ids(12))
    assert complete(tmp_path, ids(12))
    assert {r.id: r for r in read_records(tmp_path)} == records
    assert all(r.done and r.attempts == 1 and r.value["frames"] == 5 for r in records.values())
    assert [e["event"] for e in events if e["event"] in ("start", "end")] == ["start", "end"]
    assert sum(e["event"] == "job" for e in events) == 12
    summary = read_summary(tmp_path)
    assert (summary["state"], summary["done"], summary["failed"], summary["left"]) == ("finished", 12, 0, 0)
    assert summary["models"]["writer"]["frames"] == 60


def test_a_restart_does_only_what_is_missing(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, 6)
    run(tmp_path, jobs[:4])
    assert set(run(tmp_path, jobs)) == {"job4", "job5"}
    assert not run(tmp_path, jobs)
    assert len(started(tmp_path)) == 6
    changed = [Job(j.id, "b", j.payload, j.affinity) if j.id == "job2" else j for j in jobs]
    assert set(run(tmp_path, changed)) == {"job2"}
    assert set(run(tmp_path, changed, intact=lambda record: record.id != "job5")) == {"job5"}


def test_a_changed_input_counts_and_a_touched_one_does_not(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    job = Job("job", "a", task(tmp_path, "job"), inputs=(str(source),))
    (tmp_path / "out").mkdir()
    assert set(run(tmp_path, [job], 1)) == {"job"}
    os.utime(source, (1, 1))
    assert not run(tmp_path, [job], 1)
    source.write_text("two")
    assert set(run(tmp_path, [job], 1)) == {"job"}
    source.unlink()
    missing = run(tmp_path, [job], 1)["job"].failure
    assert missing is not None
    assert missing.kind == "MediaError"
    source.write_text("two")
    assert run(tmp_path, [job], 1)["job"].done, "a failure stands as long as its inputs do"


def test_failures_are_recorded_grouped_and_retried_when_asked(tmp_path: Path) -> None:
    good, bad = jobs_of(tmp_path, 2), jobs_of(tmp_path, 6, fail=True)[2:]
    buggy = Job("buggy", "a", task(tmp_path, "buggy") | {"bug": True})
    records = run(tmp_path, [*good, *bad, buggy])
    assert sum(r.done for r in records.values()) == 2
    failure = records["buggy"].failure
    assert failure is not None
    assert failure.kind == "ZeroDivisionError"
    assert "job_workers.py" in failure.trace
    summary = read_summary(tmp_path)
    most = summary["failures"][0]
    assert (most["jobs"], most["cause"]) == (4, "MediaError: … shows no face.")
    assert not run(tmp_path, [*good, *bad, buggy])
    again = run(tmp_path, [*good, *jobs_of(tmp_path, 6)[2:], buggy], retry_failed=True)
    assert sum(r.done for r in again.values()) == 4
    assert read_summary(tmp_path)["failed"] == 1


def test_a_crashed_worker_is_replaced_and_its_job_retried_once(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, 6)
    inputs = (str(Path(__file__)),)
    jobs[2] = Job("job2", "a", {**jobs[2].payload, "crash": True}, jobs[2].affinity, inputs)
    records = run(tmp_path, jobs)
    failure = records["job2"].failure
    assert failure is not None
    assert failure.kind == "WorkerLost"
    assert "SIGKILL" in failure.message
    assert records["job2"].attempts == 2
    assert started(tmp_path).count("job2") == 2
    assert sum(r.done for r in records.values()) == 5
    assert not run(tmp_path, jobs), "it is a failure like others"


def test_a_job_that_spoils_its_gpu_costs_no_other(tmp_path: Path) -> None:
    """From then on CUDA refuses everything in that process: the jobs that follow need another one."""
    jobs = jobs_of(tmp_path, 5)
    jobs[1] = Job(jobs[1].id, "a", jobs[1].payload | {"spoil": True}, jobs[1].affinity)
    records = run(tmp_path, jobs, 1)
    assert [name for name, record in records.items() if not record.done] == ["job1"]
    assert complete(tmp_path, ["job0", "job2", "job3", "job4"])
    assert len({records[name].value["pid"] for name in ("job0", "job2", "job3", "job4")}) == 2


def test_a_job_that_hangs_is_ended(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, 3)
    jobs[1] = Job("job1", "a", {**jobs[1].payload, "seconds": 60})
    begin = time.monotonic()
    records = run(tmp_path, jobs, engine=LocalEngine(2, "cpu", timeout=0.5))
    assert time.monotonic() - begin < 20
    failure = records["job1"].failure
    assert failure is not None
    assert "it took longer than 0.5 s" in failure.message
    assert started(tmp_path).count("job1") == 2
    assert sum(r.done for r in records.values()) == 2


def test_workers_that_cannot_start_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match=r"The model is broken\. Mend it\."):
        run(tmp_path, jobs_of(tmp_path, 2), factory=unable)
    with pytest.raises(BatchError, match="exit code 3"):
        run(tmp_path, jobs_of(tmp_path, 2), 1, factory=deadly)
    assert not list(read_records(tmp_path))
    assert read_summary(tmp_path)["state"] == "interrupted"


def test_the_others_go_on_without_a_worker_that_cannot_start(tmp_path: Path) -> None:
    records = run(tmp_path, jobs_of(tmp_path, 3), factory=partly_unable)
    assert [record.worker for record in records.values()] == ["worker 1"] * 3


def test_families_stay_together_and_nobody_waits(tmp_path: Path) -> None:
    with Plan(jobs_of(tmp_path, 20, family=5)) as plan:
        assert plan.start() == 20
        taken = [plan.take(0), plan.take(1), plan.take(0), plan.take(1)]
        assert [job.id for job, _ in filter(None, taken)] == ["job0", "job5", "job1", "job6"]
        order = [plan.take(0) for _ in range(16)]
        assert [job.id for job, _ in filter(None, order)][:13] == [*ids(5)[2:], *ids(20)[10:]]
        assert [job.id for job, _ in filter(None, order)][13:] == ["job7", "job8", "job9"], "helps with what is left"
        assert plan.take(1) is None
        assert plan.pending == 0
        plan.put_back(taken[0][0])  # type: ignore[index]
        assert plan.pending == 1
        assert plan.take(1) == (taken[0][0], 2)  # type: ignore[index]


def test_asking_what_is_left_costs_nothing_however_many_sources_there_are() -> None:
    """The dispatcher asks several times for every job: by itself that would take hours."""
    with Plan(Job(f"job{i}", "", {}, f"{i:06}") for i in range(20_000)) as plan:
        plan.start()
        begin = time.perf_counter()
        assert {plan.pending for _ in range(5_000)} == {20_000}
        assert time.perf_counter() - begin < 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_full_disk_ends_the_run_with_its_name(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    record = Record("job0", "", "done", 0.0, "here", "now")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OutputError, match="File too large"), contextlib.closing(Ledger(tmp_path)) as ledger:  # noqa: PT012
            for _ in range(3):
                _write_down(ledger, record)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_names_that_are_no_utf_8_are_written_down(tmp_path: Path) -> None:
    record = Record("job0", "", "done", 0.0, "here", "now", value={"source": "\udcff.png"})
    with contextlib.closing(Ledger(tmp_path)) as ledger:
        ledger.append(record)
    assert list(read_records(tmp_path)) == [record]


def test_cores_are_divided_among_workers(tmp_path: Path) -> None:
    engine = LocalEngine(1, "cpu")
    record = run(tmp_path, jobs_of(tmp_path, 1), engine=engine)["job0"]
    assert record.value["threads"] == str(len(os.sched_getaffinity(0)))
    with pytest.raises(UsageError, match="0 workers"):
        LocalEngine(0, "cpu")


def test_two_jobs_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="same id"):
        run(tmp_path, [*jobs_of(tmp_path, 2), *jobs_of(tmp_path, 1)])


def test_what_is_wrong_with_the_last_job_stops_the_first(tmp_path: Path) -> None:
    def jobs() -> Any:
        yield from jobs_of(tmp_path, 3)
        raise MediaError("The fourth is wrong.")

    with pytest.raises(MediaError):
        list(run_jobs(jobs(), writer, tmp_path / "results", engine=LocalEngine(1, "cpu")))
    assert not (tmp_path / "results").exists()


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    run(tmp_path, jobs_of(tmp_path, 3))
    whole = (tmp_path / "results.jsonl").read_bytes()
    torn = whole + whole[: len(whole) // 6]
    for end in (b"", b"\0" * 100_000):
        (tmp_path / "results.jsonl").write_bytes(torn + end)
        assert len(list(read_records(tmp_path))) == 3
        Ledger(tmp_path).close()
        assert (tmp_path / "results.jsonl").read_bytes() == whole


def test_a_record_is_on_the_disk_when_the_next_job_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_size))
    with contextlib.closing(Ledger(tmp_path)) as ledger:
        for n in range(1, 4):
            ledger.append(Record(f"job{n}", "", "done", 0.0, "here", "now"))
            assert len(flushed) == n
            assert flushed[-1] == (tmp_path / "results.jsonl").stat().st_size


@pytest.mark.parametrize("text", ["", "[1]", "{}"])
def test_another_programs_summary_is_no_summary(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(InputError, match="no results of a batch"):
        read_summary(tmp_path)


def test_the_folder_belongs_to_one_run(tmp_path: Path) -> None:
    records = run_jobs(jobs_of(tmp_path, 4, seconds=0.1), writer, tmp_path, engine=LocalEngine(1, "cpu"))
    next(records)
    assert read_summary(tmp_path)["state"] == "running"
    with pytest.raises(OutputError, match="Another run"):
        run(tmp_path, jobs_of(tmp_path, 4))
    records.close()
    assert read_summary(tmp_path)["state"] == "interrupted"
    assert len(run(tmp_path, jobs_of(tmp_path, 4))) == 3


SCRIPT = """
import sys
from pathlib import Path
from job_workers import jobs_of, writer
from thg_zoo.jobs import LocalEngine, run_jobs
if __name__ == "__main__":
    folder, n, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    jobs = jobs_of(folder, n, seconds=seconds)
    records = run_jobs(jobs, writer, folder, engine=LocalEngine(2, "cpu"), retry_failed=True)
    sys.exit(7 if [record for record in records if not record.done] else 0)
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Runs jobs in a process that can be killed; to be completed by their number and length."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return [sys.executable, str(script), str(tmp_path)]


def environment() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parent)}


@needs_proc
def test_kills_at_any_moment_lose_only_what_is_in_flight(tmp_path: Path, command: list[str]) -> None:
    n = 60
    fire = run_under_fire(
        [*command, str(n), "0.06"],
        tmp_path,
        lambda: len(started(tmp_path)),
        kills=8,
        longest=0.7,
        seed=3,
        environment=environment(),
    )
    assert fire.main_kills + fire.worker_kills == 8
    assert complete(tmp_path, ids(n))
    check_no_work_was_repeated(tmp_path, started(tmp_path), fire, n)


def check_no_work_was_repeated(results: Path, begun: list[str], fire: Any, n: int) -> None:
    """A job that was recorded as done is never begun again, and each kill costs what was in flight."""
    done = [record.id for record in read_records(results) if record.done]
    assert len(done) == len(set(done)) == n
    for position, finished in fire.starts:
        assert not finished & set(begun[position:])
    assert len(begun) <= n + 2 * fire.main_kills + fire.worker_kills


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, command: list[str], number: int) -> None:
    """Also when they are in the middle of a long job."""
    mark = f"parent-{number}-{os.getpid()}"
    environ = {**os.environ, **environment(), MARK: mark}
    with subprocess.Popen([*command, "4", "60"], env=environ, stderr=subprocess.DEVNULL) as process:
        until(lambda: len(started(tmp_path)) == 2)
        assert len(workers_of(process.pid)) == 2
        begin = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) != 0
        assert vanished(mark, 10)
    assert time.monotonic() - begin < 10
    assert not list(read_records(tmp_path))
    state = json.loads((tmp_path / "summary.json").read_text())["state"]
    assert state == ("running" if number == signal.SIGKILL else "interrupted")
    assert read_summary(tmp_path)["state"] == ("killed" if number == signal.SIGKILL else "interrupted")


def until(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
