"""What is known of models before they are loaded: whether they are here, how large they are, under which terms."""

from __future__ import annotations

from thg_zoo.demo.settings import Settings
from thg_zoo.errors import Cancelled
from thg_zoo.run import CancelCheck, Progress, ProgressCallback
from thg_zoo.spec import Licence
from thg_zoo.weights import installation, licences
from thg_zoo.zoo import ModelDescription, describe


def on_machine(model: ModelDescription, settings: Settings) -> bool:
    """Whether the model can be loaded without a download."""
    return settings.weights == "random" or installation.is_installed(model.variant)


def open_terms(model: ModelDescription) -> list[Licence]:
    """The licences of its weights that nobody has accepted on this machine, each once."""
    gated = {f.licence.key: f.licence for f in model.variant.files if not f.licence.commercial}
    return [licence for licence in gated.values() if not licences.is_accepted(licence)]


def ready(model: ModelDescription, settings: Settings) -> bool:
    """Whether the model can be used at once."""
    return settings.weights == "random" or (on_machine(model, settings) and not open_terms(model))


def title(model: ModelDescription) -> str:
    """The model's title with that of its variant."""
    ours, its = model.spec.title, model.variant.title
    return its if its.startswith(ours) else f"{ours}: {its}"


def size_text(model: ModelDescription) -> str:
    """The size of its download in words."""
    if not model.variant.files:
        return "no download"
    return f"{model.variant.size / 1e6:.0f} MB" if model.variant.size else "download of unknown size"


def picker_label(model: ModelDescription, settings: Settings) -> str:
    """How the model is named in a list to choose from."""
    if on_machine(model, settings):
        return model.name
    size = f"{size_text(model)} " if model.variant.size else ""
    return f"{model.name} · {size}to fetch"


def fetch_weights(model: ModelDescription, progress: ProgressCallback, cancelled: CancelCheck) -> None:
    """Accept the model's terms and fetch its weights. Raises Cancelled, LicenceError, DownloadError."""
    from thg_zoo.weights import fetch_all

    def report(name: str, done: int, total: int | None) -> None:
        if cancelled():
            raise Cancelled("The transfer was stopped.")
        progress(Progress(name, done, total))

    fetch_all(model.variant, accept_licence=True, progress=report)


def fetch_named(names: str) -> None:
    """Fetch the weights of models named in a text, separated by commas. Raises LicenceError, DownloadError."""
    from thg_zoo.weights import fetch_all

    for name in filter(None, (part.strip() for part in names.split(","))):
        fetch_all(describe(name).variant)
