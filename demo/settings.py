"""What the operator of the page decides."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Limits and permissions of one running page.

    devices: one worker each; weights: None for the published ones or `random` for a dry run; manage: whether
    visitors may fetch weights and accept licences; max_upload_mb: of one file; max_waiting: runs in the queue,
    max_per_visitor: of those by one visitor; keep_seconds: how long files outlive a visitor's last sign of
    life; keep_results: runs of one visitor whose files are kept; idle_seconds: after which models are unloaded.
    """

    devices: tuple[str, ...] = ("auto",)
    weights: str | None = None
    manage: bool = True
    max_upload_mb: int = 200
    max_waiting: int = 32
    max_per_visitor: int = 4
    keep_seconds: float = 600.0
    keep_results: int = 8
    idle_seconds: float = 300.0
