"""The licence gate: files that must not be used commercially need their terms to be accepted once."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from thg_zoo.errors import LicenceError
from thg_zoo.spec import Licence
from thg_zoo.weights import folders, records

logger = logging.getLogger(__name__)

VARIABLE = "THG_ZOO_ACCEPT_LICENSES"


def accept(licence: Licence) -> None:
    """Record that the user accepts these terms. Raises LicenceError where the record cannot be written."""
    entry = {"name": licence.name, "terms": _fingerprint(licence), "when": _now()}
    try:
        records.change(_accepted(), lambda data: data.update({licence.key: entry}))
    except OSError as error:
        raise LicenceError(
            f"The acceptance of {licence.name!r} cannot be recorded in {_accepted()}: {error}.",
            f"Make the folder writable, or set {VARIABLE}={licence.key}.",
        ) from error


def is_accepted(licence: Licence) -> bool:
    """Whether the user accepted exactly these terms, by record or by the environment."""
    return _by_environment(licence) or _by_record(licence)


def require(licences: Iterable[Licence], accepted: bool = False) -> None:
    """Pass where every licence permits commercial use or is accepted; raise LicenceError otherwise.

    `accepted`: the caller accepts them now; the terms are then shown once, as a warning of this module's
    logger, and the acceptance is recorded.
    """
    gated = {licence.key: licence for licence in licences if not licence.commercial}
    for licence in gated.values():
        if _by_record(licence):
            continue
        if _by_environment(licence):
            logger.info("Accepted by %s: %s", VARIABLE, terms(licence))
        elif accepted:
            logger.warning("Licence accepted: %s", terms(licence))
            _record_quietly(licence)
    open_ones = [licence for licence in gated.values() if not accepted and not is_accepted(licence)]
    if open_ones:
        keys = " ".join(licence.key for licence in open_ones)
        raise LicenceError(
            "These terms have to be accepted first: " + " ".join(terms(licence) for licence in open_ones),
            f"If you agree, run `thg-zoo licenses accept {keys}`, add --accept-license (in Python: "
            f"accept_licence=True), or set {VARIABLE}={keys.replace(' ', ',')}.",
        )


def terms(licence: Licence) -> str:
    """The terms in one paragraph."""
    use = "commercial use permitted" if licence.commercial else "no commercial use"
    return " ".join(filter(None, [f"{licence.name} ({use}).", licence.terms, licence.url]))


def _record_quietly(licence: Licence) -> None:
    try:
        accept(licence)
    except LicenceError as error:
        logger.info("%s", error)


def _by_record(licence: Licence) -> bool:
    entry = records.read(_accepted()).get(licence.key, {})
    return bool(entry.get("terms") == _fingerprint(licence))


def _by_environment(licence: Licence) -> bool:
    names = {name.strip().lower() for name in re.split(r"[,;]", os.environ.get(VARIABLE, ""))}
    return bool(names & {"all", licence.key, licence.name.lower()})


def _fingerprint(licence: Licence) -> str:
    """Changes with the terms, so that changed terms have to be accepted again."""
    return hashlib.sha256("\n".join([licence.name, licence.terms, licence.url]).encode()).hexdigest()


def _accepted() -> Path:
    return folders.settings() / "accepted-licences.json"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
