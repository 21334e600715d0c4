"""The same jobs on a Ray cluster of several nodes on this machine, one of which is lost in the middle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from job_workers import complete, jobs_of, started, unable, writer
from thg_zoo.errors import BatchError, UsageError
from thg_zoo.jobs import RayEngine, read_records, run_jobs

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without workers and two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    # The nodes' processes import the jobs from here; a lost node is noticed sooner than by default.
    changed = {"PYTHONPATH": str(Path(__file__).parent), "RAY_health_check_period_ms": "500"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    try:
        made.wait_for_nodes()
        yield made, nodes
    finally:
        ray.shutdown()
        made.shutdown()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def test_a_lost_node_costs_the_jobs_it_had(cluster: Any, tmp_path: Path) -> None:
    made, nodes = cluster
    engine = RayEngine(address=made.address)
    assert engine.workers == 2
    n, lost = 30, []
    jobs = jobs_of(tmp_path, n, seconds=0.1)
    events: list[dict[str, Any]] = []
    for k, record in enumerate(run_jobs(jobs, writer, tmp_path, engine=engine, notify=events.append)):
        assert record.done
        if k == 8:
            made.remove_node(nodes[0], allow_graceful=False)
            lost = started(tmp_path)
    assert complete(tmp_path, [job.id for job in jobs])
    done = [record.id for record in read_records(tmp_path)]
    assert len(done) == len(set(done)) == n
    assert sum(event["event"] == "lost" for event in events) >= 1
    assert n <= len(started(tmp_path)) <= n + 2
    assert not set(lost[:-2]) & set(started(tmp_path)[len(lost) :]), "what was done before the loss is not begun again"


def test_a_failing_worker_and_a_cluster_without_room_are_said(cluster: Any, tmp_path: Path) -> None:
    made, _ = cluster
    with pytest.raises(BatchError, match=r"The model is broken\. Mend it\."):
        list(run_jobs(jobs_of(tmp_path, 2), unable, tmp_path, engine=RayEngine(address=made.address)))
    with pytest.raises(UsageError, match="no room"):
        RayEngine(address=made.address, cpus=64)
    with pytest.raises(UsageError, match="Ray chooses"):
        RayEngine(address=made.address, device="cuda:1")
    records = run_jobs(
        jobs_of(tmp_path, 2, fail=True), writer, tmp_path, engine=RayEngine(workers=1, address=made.address)
    )
    assert [record.failure.kind for record in records if record.failure] == ["MediaError", "MediaError"]
