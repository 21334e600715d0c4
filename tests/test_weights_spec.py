"""The file records of model cards: what they refuse, and what the bundled ones promise."""

from __future__ import annotations

import pytest

from thg_zoo.errors import SpecError
from thg_zoo.spec import FileSource, Licence, Part, WeightFile, bundled, parse

FREE = Licence("MIT", True)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub(revision: str = COMMIT, **more: object) -> FileSource:
    return FileSource("huggingface", "owner/name", path="a.pth", revision=revision, **more)  # type: ignore[arg-type]


def test_revisions() -> None:
    assert hub().pinned
    assert not hub().abbreviated
    assert hub("a386a98").abbreviated
    assert not hub("a386a98").pinned
    assert not hub("main").pinned
    assert not hub("main").abbreviated
    assert FileSource("https", url="https://x.example/a").pinned
    assert str(hub("main", repo_type="space")) == "huggingface:spaces/owner/name@main:a.pth"


@pytest.mark.parametrize("path", ["../a.pth", "/etc/passwd", "a/../../b", "c:\\x", "a\\b"])
def test_names_stay_inside_the_cache(path: str) -> None:
    with pytest.raises(SpecError, match="plain relative path"):
        WeightFile(path, "network", FREE, (hub(),), {"net": Part()})
    with pytest.raises(SpecError, match="plain relative path"):
        FileSource("huggingface", "owner/name", path=path, revision=COMMIT)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"sha256": "abc"}, "is not a sha256"),
        ({"refused": {"ABC": "x"}}, "is not a sha256"),
        ({"sources": ()}, "has no sources"),
    ],
)
def test_records_that_prove_nothing(more: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        WeightFile(**{"name": "a", "role": "r", "licence": FREE, "sources": (hub(),), "parts": {}, **more})  # type: ignore[arg-type]


def test_a_hash_of_its_own_makes_a_conversion() -> None:
    with pytest.raises(SpecError, match="conversion"):
        hub(sha256="0" * 64)
    assert hub(sha256="0" * 64, conversion=True).sha256


def test_licence_keys() -> None:
    assert Licence("CC BY-NC 4.0", False).key == "cc-by-nc-4.0"
    assert Licence("S-Lab License 1.0 (non-commercial)", False).key == "s-lab-license-1.0-non-commercial"


CARD = """
title: T
summary: S
adapter: a:A
options_class: a:O
sources: [image]
drivers: [image]
licence: {name: MIT, commercial: true}
variants: {t: {title: T, files: [a.pth]}, t-2: {title: T2, files: [b.pth]}}
files:
  a.pth: {role: r, sha256: "%s", licence: {name: MIT, commercial: true}, parts: {net: {}}, %s
          sources: [{kind: https, url: "https://x.example/a"}]}
  b.pth: {role: r, sha256: "%s", licence: {name: MIT, commercial: true}, parts: {net: {}},
          sources: [{kind: https, url: "https://x.example/b"}]}
"""


def test_files_of_one_layout_refuse_each_other() -> None:
    one, two = "1" * 64, "2" * 64
    card = parse("t", CARD % (one, "lookalikes: [{what: w, key: k, shape: [1, 2]}],", two))
    (a,), (b,) = card.variants["t"].files, card.variants["t-2"].files
    assert a.refused == {two: "b.pth of the same model: ask for the variant that uses it"}
    assert list(b.refused) == [one]
    assert a.lookalikes[0].shape == (1, 2)
    assert a.model == "t"


def test_unknown_keys_are_named() -> None:
    with pytest.raises(SpecError, match=r"lookalikes has the unknown key 'keys'\. Did you mean 'key'"):
        parse("t", CARD % ("1" * 64, "lookalikes: [{what: w, keys: k}],", "2" * 64))


@pytest.mark.parametrize("name", sorted(bundled()))
def test_bundled_records(name: str) -> None:
    """Every file can be proved or says that it cannot, is pinned, and states terms that a person can read."""
    for variant in bundled()[name].variants.values():
        for file in variant.files:
            assert file.licence.commercial or (file.licence.terms and file.licence.url)
            for source in file.sources:
                assert source.pinned or file.sha256, f"{file.name}: {source} can change and nothing would notice"
                if source.kind == "https":
                    assert source.url.startswith("https://")


def test_the_traps_of_wav2lip() -> None:
    (generator, _) = bundled()["wav2lip"].variants["wav2lip"].files
    assert "b6c6630ca96681c289e43d2ed15e18e5bca968abdea8abb0bf6617c085a9fc52" in generator.refused
    (gan, _) = bundled()["wav2lip"].variants["wav2lip-gan"].files
    assert gan.sha256 in generator.refused
    assert generator.sha256 in gan.refused
