"""Files of Hugging Face repositories. huggingface_hub does the transfer, with its cache and its settings.

Its environment variables hold here as everywhere: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN,
and the proxies. Models, spaces and datasets.
"""

from __future__ import annotations

import errno
import inspect
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thg_zoo.errors import DownloadError
from thg_zoo.spec import FileSource, WeightFile
from thg_zoo.version import __version__
from thg_zoo.weights import verification
from thg_zoo.weights.progress import Progress, bar_class

logger = logging.getLogger(__name__)

LONGEST_WAIT = 60
"""Seconds of a server's Retry-After that are waited for; beyond, the next source is tried."""


LOCAL_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}


class Unreachable(DownloadError):
    """No answer at all from the hub: its other repositories need not be asked."""


@dataclass(frozen=True)
class HubStatus:
    """Whether the hub answers; `reason` says why not."""

    endpoint: str
    reachable: bool
    offline: bool
    reason: str = ""


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids all requests."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def transfer_errors() -> tuple[type[Exception], ...]:
    """What a transfer can raise, whichever HTTP library this version of huggingface_hub stands on.

    The library's own base class is found among the ancestors of the hub's error; RuntimeError is what its
    accelerated transfer raises, ValueError a malformed repository name.
    """
    from huggingface_hub.errors import HfHubHTTPError

    library = [cls for cls in HfHubHTTPError.__mro__ if cls.__module__ != "builtins" and issubclass(cls, Exception)]
    return library[-1], OSError, RuntimeError, ValueError


def download(file: WeightFile, source: FileSource, progress: Progress | None = None) -> Path:
    """Fetch the file into the hub's cache and return where it lies there.

    Raises Unreachable where the hub does not answer, DownloadError with the reason in one line otherwise; OSError
    where the disk is full.
    """
    from huggingface_hub import hf_hub_download

    options: dict[str, Any] = {}
    if progress is not None and "tqdm_class" in inspect.signature(hf_hub_download).parameters:
        options["tqdm_class"] = bar_class(file.name, progress)
    try:
        revision = _commit(source)
        _check_announced(file, source, revision)
        path = hf_hub_download(
            source.repo_id,
            source.path,
            repo_type=source.repo_type,
            revision=revision,
            library_name="thg-zoo",
            library_version=__version__,
            **options,
        )
    except transfer_errors() as error:
        raise_if_local(error)
        raise DownloadError(_reason(error, source)) from error
    return Path(path)


def raise_if_local(error: Exception) -> None:
    """Raise OSError where the machine, not the transfer, is at fault: no other source would help."""
    if isinstance(error, OSError) and error.errno in LOCAL_FAULTS:
        raise error
    if "No space left on device" in str(error):  # the accelerated transfer wraps the cause into text
        raise OSError(errno.ENOSPC, "No space left on device") from error


def hub_status(timeout: float = 5.0) -> HubStatus:
    """Ask the hub for a sign of life, within `timeout` seconds."""
    from huggingface_hub import constants, get_session

    if offline():
        return HubStatus(constants.ENDPOINT, False, True, "HF_HUB_OFFLINE is set")
    try:
        get_session().head(constants.ENDPOINT, timeout=timeout)
    except transfer_errors() as error:
        return HubStatus(constants.ENDPOINT, False, False, one_line(error))
    return HubStatus(constants.ENDPOINT, True, False)


def _commit(source: FileSource) -> str:
    """The revision to ask for: shortened commits are completed, so that the cache knows them by their full name."""
    if not source.abbreviated:
        if not source.pinned:
            logger.warning("%s follows the moving branch %r: its file may change.", source, source.revision)
        return source.revision
    from huggingface_hub import HfApi

    commits = HfApi().list_repo_commits(source.repo_id, repo_type=source.repo_type)
    whole = [commit.commit_id for commit in commits if commit.commit_id.startswith(source.revision)]
    if len(whole) != 1:
        raise DownloadError(f"{len(whole)} commits of {source.repo_id} begin with {source.revision}")
    return whole[0]


def _check_announced(file: WeightFile, source: FileSource, revision: str) -> None:
    """Refuse a wrong file by what the hub announces, before a byte of it is fetched.

    For large files the hub gives the sha256 as the entity tag. Answers that the transfer itself would retry
    (a busy or failing server) are left to it; no answer at all raises Unreachable.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    url = hf_hub_url(source.repo_id, source.path, repo_type=source.repo_type, revision=revision)
    try:
        announced = get_hf_file_metadata(url)
    except HfHubHTTPError as error:
        if _is_passing(error.response):
            return
        raise
    except OfflineModeIsEnabled:
        raise
    except transfer_errors() as error:
        raise Unreachable(f"no answer from the hub: {one_line(error)}") from error
    wanted = verification.expected(file, source)
    tag = announced.etag or ""
    if tag in file.refused:
        raise DownloadError(f"it is {file.refused[tag]}")
    if wanted.sha256 and re.fullmatch(r"[0-9a-f]{64}", tag) and tag != wanted.sha256:
        raise DownloadError(f"the hub holds another file there: its sha256 is {tag}")
    if wanted.size is not None and announced.size is not None and announced.size != wanted.size:
        raise DownloadError(f"the hub holds another file there: it has {announced.size} bytes")


def _is_passing(response: Any) -> bool:
    """Whether the answer says "later": a limit on requests or a failing server, with a bearable wait."""
    wait = str(response.headers.get("Retry-After", "0"))
    if wait.isdigit() and int(wait) > LONGEST_WAIT:
        return False
    return bool(response.status_code == 429 or response.status_code >= 500)


def _reason(error: Exception, source: FileSource) -> str:
    """Why the hub gave nothing, in one line."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"the repository is gated: accept its terms at {_page(source)}, then `hf auth login` or set HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the repository is gone, private or renamed ({_page(source)})"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the repository no longer has the revision {source.revision}"
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return _reason(error.__cause__, source)
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return "the repository has no such file at that revision"
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        wait = error.response.headers.get("Retry-After")
        if status == 401:
            return "the hub wants a login: run `hf auth login` or set HF_TOKEN"
        return f"the hub answered {status}" + (f" and asks to wait {wait} seconds" if wait else "")
    return one_line(error)


def _page(source: FileSource) -> str:
    from huggingface_hub import constants

    prefix = "" if source.repo_type == "model" else f"{source.repo_type}s/"
    return f"{constants.ENDPOINT}/{prefix}{source.repo_id}"


def one_line(error: Exception) -> str:
    """The first line of an error, or its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
