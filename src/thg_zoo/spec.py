"""ModelSpec: everything about a model that is not code, read from configs/NAME.yaml and validated.

Reading a card needs PyYAML alone, so that listing models stays fast. The format is described in
docs/model-cards.md.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import yaml

from thg_zoo.errors import SpecError, nearest

SOURCE_KINDS = ("image", "video")
DRIVER_KINDS = ("audio", "video", "image", "motion", "edit")
FILE_SOURCE_KINDS = ("huggingface", "https", "manual")
REPO_TYPES = ("model", "space", "dataset")
# IPTC digital source types (cv.iptc.org/newscodes/digitalsourcetype) that an animated portrait can have.
SYNTHESIS_KINDS = ("compositeWithTrainedAlgorithmicMedia", "trainedAlgorithmicMedia", "compositeSynthetic")
COMMIT = re.compile(r"[0-9a-f]{40}")
ABBREVIATED_COMMIT = re.compile(r"[0-9a-f]{7,39}")
SHA256 = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")


@dataclass(frozen=True)
class Licence:
    """Terms of a file or of a whole model. `commercial` says whether commercial use is permitted."""

    name: str
    commercial: bool
    url: str = ""
    terms: str = ""

    @property
    def key(self) -> str:
        """The name in lower case with hyphens: how a command line or an environment variable names it."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class Reference:
    """A paper or a code repository."""

    title: str
    url: str
    venue: str = ""
    year: int | None = None


@dataclass(frozen=True)
class FileSource:
    """One place where a weight file is published.

    kind `huggingface`: `repo_id`, `repo_type`, `path` and the pinned `revision`; kind `https`: `url` of a
    release asset; kind `manual`: `url` of a page from which a person must download, and `path`, the name the
    file has there. `conversion`: the same tensors in other bytes, so that the file's own size and sha256 do not
    hold; `sha256` is then that of the conversion, if known. `note`: what a person has to know.
    """

    kind: str
    repo_id: str = ""
    repo_type: str = "model"
    path: str = ""
    revision: str = ""
    url: str = ""
    conversion: bool = False
    sha256: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        _one_of(self.kind, FILE_SOURCE_KINDS, "source kind")
        _one_of(self.repo_type, REPO_TYPES, "repo_type")
        needed = ("repo_id", "path", "revision") if self.kind == "huggingface" else ("url",)
        for name in needed:
            if not getattr(self, name):
                raise SpecError(f"A source of kind {self.kind!r} has no {name!r}.", "Add it to the card.")
        _safe_path(self.path, f"source of kind {self.kind!r}")
        if self.sha256 and not self.conversion:
            raise SpecError(
                f"Source {self} has a sha256 of its own without being a conversion.",
                "Give the sha256 to the file, or say `conversion: true`.",
            )
        _sha256(self.sha256, f"Source {self}")

    def __str__(self) -> str:
        """The source in one line, as errors and reports name it."""
        if self.kind == "huggingface":
            prefix = "" if self.repo_type == "model" else f"{self.repo_type}s/"
            return f"huggingface:{prefix}{self.repo_id}@{self.revision}:{self.path}"
        return self.url

    @property
    def pinned(self) -> bool:
        """Whether the source names one commit rather than a branch that can move."""
        return self.kind != "huggingface" or COMMIT.fullmatch(self.revision) is not None

    @property
    def abbreviated(self) -> bool:
        """Whether the revision is the beginning of a commit's hash, which the hub has to complete."""
        return not self.pinned and ABBREVIATED_COMMIT.fullmatch(self.revision) is not None


@dataclass(frozen=True)
class Part:
    """Where in a checkpoint file the state dict of one network lies.

    `at`: keys to follow into nested dicts, separated by `/`; `prefix`: only entries that begin with it
    belong to the part, and it is taken off; `remove`: text taken out of every name, at its beginning and behind dots;
    `flat_prefix`: the prefix in a conversion of the file that has no nested dicts; `unused`: entries of the part that
    begin with one of these (after the prefix) are left out, because only training needs them.
    """

    at: str = ""
    prefix: str = ""
    remove: str = ""
    flat_prefix: str = ""
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lookalike:
    """A known layout that is easily taken for this one: an entry that only it has, with its shape if need be."""

    what: str
    key: str
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class WeightFile:
    """One published file: what it is, where it lies, how it is proved, and which networks it fills.

    name: the published name, possibly in folders (`base_models/a.pth`); size: bytes; sha256: "" where none is
    known; parts: the networks it fills; lookalikes: other layouts by name; refused: {sha256: what that file
    is}, bytes that are known to be wrong; model: the card it belongs to.
    """

    name: str
    role: str
    licence: Licence
    sources: tuple[FileSource, ...]
    parts: dict[str, Part]
    size: int | None = None
    sha256: str = ""
    lookalikes: tuple[Lookalike, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    model: str = ""

    def __post_init__(self) -> None:
        _safe_path(self.name, f"file {self.name!r}")
        for digest in (self.sha256, *self.refused):
            _sha256(digest, f"File {self.name!r}")
        if not self.sources:
            raise SpecError(f"File {self.name!r} has no sources.", "Name at least one.")


@dataclass(frozen=True)
class Variant:
    """One set of weights of a model: the files that belong together, and the options they imply."""

    name: str
    title: str
    files: tuple[WeightFile, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def commercial(self) -> bool:
        """Whether every file of the set may be used commercially."""
        return all(f.licence.commercial for f in self.files)

    @property
    def size(self) -> int | None:
        """Bytes of all files, or None if one is not known. No files: 0."""
        sizes = [f.size for f in self.files]
        return None if None in sizes else sum(s for s in sizes if s is not None)


@dataclass(frozen=True)
class ModelSpec:
    """The card of one model.

    name: the card's name; title and summary: for people; adapter and options_class: `module:Class`, the
    latter in a module that imports nothing heavy; sources and drivers: accepted kinds; fps: frames per second
    of the output, or None where the driver or source decides; frame_size: (height, width) that the networks
    return, or None for the source's; crop: the crop rule in words; audio_rate: samples per second the model
    listens to, or None; synthesis: the IPTC digital source type of its output; licence: of the code and the
    model as a whole; options: defaults that differ from the options class's; extras: files that no variant needs, by
    name: an adapter fetches them when an option asks for them.
    """

    name: str
    title: str
    summary: str
    adapter: str
    options_class: str
    sources: tuple[str, ...]
    drivers: tuple[str, ...]
    licence: Licence
    variants: dict[str, Variant]
    fps: float | None = None
    frame_size: tuple[int, int] | None = None
    crop: str = ""
    audio_rate: int | None = None
    synthesis: str = "compositeWithTrainedAlgorithmicMedia"
    papers: tuple[Reference, ...] = ()
    code: tuple[Reference, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    extras: dict[str, WeightFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in self.sources:
            _one_of(kind, SOURCE_KINDS, "source")
        for kind in self.drivers:
            _one_of(kind, DRIVER_KINDS, "driver")
        _one_of(self.synthesis, SYNTHESIS_KINDS, "kind of synthesis")
        if "audio" in self.drivers and not self.audio_rate:
            raise SpecError(f"Model {self.name!r} takes audio but names no audio_rate.", "Add it to the card.")

    def commercial(self, variant: str) -> bool:
        """Whether the model with this variant's weights may be used commercially."""
        return self.licence.commercial and self.variants[variant].commercial


def _one_of(value: str, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise SpecError(f"{value!r} is not a {what}.", nearest(value, allowed))


def _sha256(value: str, where: str) -> None:
    if value and not (isinstance(value, str) and SHA256.fullmatch(value)):
        raise SpecError(f"{where}: {value!r} is not a sha256.", "Give 64 hexadecimal digits.")


def _safe_path(value: str, where: str) -> None:
    """Names become paths under the cache folder; none may lead out of it."""
    if value.startswith("/") or "\\" in value or ":" in value or ".." in value.split("/"):
        raise SpecError(f"The name {value!r} of a {where} is not a plain relative path.", "Correct the card.")


def _build(cls: type[T], data: Any, where: str) -> T:
    """A dataclass from a mapping; unknown and missing keys are named."""
    if not isinstance(data, dict):
        raise SpecError(f"{where} must be a mapping, not {type(data).__name__}.", "See docs/model-cards.md.")
    allowed = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in allowed:
            raise SpecError(f"{where} has the unknown key {key!r}.", nearest(str(key), allowed))
    for name, f in allowed.items():
        if name not in data and f.default is MISSING and f.default_factory is MISSING:
            raise SpecError(f"{where} lacks {name!r}.", "See docs/model-cards.md.")
    return cls(**data)


def _lookalike(data: dict[str, Any], where: str) -> Lookalike:
    shape = data.get("shape")
    return _build(Lookalike, data | {"shape": None if shape is None else tuple(shape)}, where)


def _part(data: Any, where: str) -> Part:
    part = _build(Part, data, where)
    return replace(part, unused=tuple(part.unused))


def _file(model: str, name: str, data: dict[str, Any], where: str) -> WeightFile:
    where = f"{where}, file {name!r}"
    parts = {part: _part(value or {}, f"{where}, part {part!r}") for part, value in data.get("parts", {}).items()}
    return _build(
        WeightFile,
        data
        | {
            "name": name,
            "model": model,
            "licence": _build(Licence, data.get("licence"), f"{where}, licence"),
            "sources": tuple(_build(FileSource, s, f"{where}, sources") for s in data.get("sources", ())),
            "parts": parts,
            "lookalikes": tuple(_lookalike(dict(v), f"{where}, lookalikes") for v in data.get("lookalikes", ())),
        },
        where,
    )


def _refuse_alternatives(known: dict[str, WeightFile]) -> dict[str, WeightFile]:
    """Each file with the bytes of the card's other files that fill the same network among its refused ones.

    Files of two variants often have one layout (even one size), so that only the hash tells a wrong pairing.
    """
    return {
        name: replace(
            file,
            refused=file.refused
            | {
                other.sha256: f"{other.name} of the same model: ask for the variant that uses it"
                for other in known.values()
                if other.sha256 and other.sha256 != file.sha256 and set(other.parts) & set(file.parts)
            },
        )
        for name, file in known.items()
    }


def _variant(name: str, data: dict[str, Any], known: dict[str, WeightFile], where: str) -> Variant:
    wanted = tuple(data.get("files", ()))
    for file in wanted:
        if file not in known:
            raise SpecError(f"{where}, variant {name!r} names the unknown file {file!r}.", nearest(file, known))
    return _build(
        Variant, data | {"name": name, "files": tuple(known[f] for f in wanted)}, f"{where}, variant {name!r}"
    )


def parse(name: str, text: str) -> ModelSpec:
    """A card's YAML text as a ModelSpec. Raises SpecError, naming what is wrong and where."""
    where = f"Card {name!r}"
    try:
        data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise SpecError(f"{where} is not valid YAML: {error}.", "Correct the file.") from error
    if not isinstance(data, dict):
        raise SpecError(f"{where} must be a mapping.", "See docs/model-cards.md.")
    data = dict(data)
    known = _refuse_alternatives(
        {file: _file(name, file, dict(value), where) for file, value in data.pop("files", {}).items()}
    )
    variants = data.get("variants") or {name: {"title": data.get("title", name)}}
    needed = {file for value in variants.values() for file in (value or {}).get("files", ())}
    size = data.get("frame_size")
    return _build(
        ModelSpec,
        data
        | {
            "name": name,
            "licence": _build(Licence, data.get("licence"), f"{where}, licence"),
            "variants": {key: _variant(key, dict(value or {}), known, where) for key, value in variants.items()},
            "extras": {file: value for file, value in known.items() if file not in needed},
            "sources": tuple(data.get("sources", ())),
            "drivers": tuple(data.get("drivers", ())),
            "frame_size": tuple(size) if size else None,
            "papers": tuple(_build(Reference, p, f"{where}, papers") for p in data.get("papers", ())),
            "code": tuple(_build(Reference, c, f"{where}, code") for c in data.get("code", ())),
        },
        where,
    )


@cache
def bundled() -> dict[str, ModelSpec]:
    """The cards that come with the package, by name."""
    found = {}
    for entry in sorted(files("thg_zoo.configs").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".yaml"):
            name = entry.name.removesuffix(".yaml")
            found[name] = parse(name, entry.read_text(encoding="utf-8"))
    return found
