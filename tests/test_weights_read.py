"""Reading checkpoints: every published kind, recognised by content, and nothing in them is ever run."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thg_zoo.errors import CheckpointError
from thg_zoo.spec import Part
from thg_zoo.weights import fill, load_part, read_checkpoint
from thg_zoo.weights.content import Kind
from thg_zoo.weights.layout import extract
from thg_zoo.weights.unpickler import ForbiddenGlobal
from weights_setup import Net, saved, trained_net

STATE = trained_net().state_dict()
ARRAYS = {name: value.numpy() for name, value in STATE.items()}


def as_safetensors() -> bytes:
    from safetensors.torch import save

    return save({name: value.contiguous() for name, value in STATE.items()})


def as_scripted(trace: bool = False) -> bytes:
    net = trained_net()
    script = torch.jit.trace(net, torch.zeros(1, 3, 8, 8)) if trace else torch.jit.script(net)
    stream = io.BytesIO()
    torch.jit.save(script, stream)
    return stream.getvalue()


def as_npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **ARRAYS)
    return stream.getvalue()


class PersistentTensors(pickle.Pickler):
    """The third stream of the old tar archives: tensors are written as references."""

    def persistent_id(self, value: Any) -> Any:
        keys = {id(tensor): index for index, tensor in enumerate(STATE.values())}
        return 1000 + keys[id(value)] if id(value) in keys else None


def as_tar(tensors: Any = None, replaced: dict[str, bytes] | None = None) -> bytes:
    """What torch.save wrote before 0.2. torch's own (unsafe) reader accepts it: see the test below."""
    types = {torch.float32: torch.FloatStorage, torch.int64: torch.LongStorage}
    storages, views, objects = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pickle.dump(len(STATE), storages, 2)
    pickle.dump(len(STATE), views, 2)
    for key, tensor in enumerate(STATE.values()):
        pickle.dump((key, "cpu", types[tensor.dtype]), storages, 2)
        storages.write(struct.pack("<q", tensor.numel()) + tensor.numpy().tobytes())
        pickle.dump((1000 + key, key, torch.FloatTensor), views, 2)
        n = tensor.dim()
        views.write(struct.pack("<ii", n, 0) + struct.pack(f"<{2 * n + 1}q", *tensor.shape, *tensor.stride(), 0))
    pickle.dump([], storages, 2)
    PersistentTensors(objects, 2).dump(OrderedDict(STATE) if tensors is None else tensors)
    members = {"sys_info": b"", "storages": storages.getvalue(), "tensors": views.getvalue()}
    return _tar({**members, "pickle": objects.getvalue(), **(replaced or {})})


def _tar(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def as_mat() -> bytes:
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, {"base": np.arange(6.0).reshape(2, 3), "index": np.arange(4, dtype=np.uint16), "text": "x"})
    return stream.getvalue()


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch announces the end of scripting

KINDS: dict[str, tuple[Callable[[], bytes], Kind]] = {
    "safetensors": (as_safetensors, Kind.SAFETENSORS),
    "torch zip": (lambda: saved(STATE), Kind.TORCH_ZIP),
    "torch legacy": (lambda: saved(STATE, legacy=True), Kind.TORCH_LEGACY),
    "torch tar": (as_tar, Kind.TORCH_TAR),
    "scripted": (as_scripted, Kind.TORCHSCRIPT),
    "traced": (lambda: as_scripted(trace=True), Kind.TORCHSCRIPT),
    "npz": (as_npz, Kind.NPZ),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def put(content: bytes, name: str = "model.pth") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return put


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".tar"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_tensors_whatever_its_suffix(
    write: Callable[..., Path], kind: str, suffix: str
) -> None:
    make, expected = KINDS[kind]
    checkpoint = read_checkpoint(write(make(), "model" + suffix))
    assert checkpoint.kind is expected
    net = Net()
    fill(net, extract(checkpoint, Part(at="state_dict")), "model")
    assert list(net.state_dict()) == list(STATE)
    assert all(torch.equal(value, STATE[name]) for name, value in net.state_dict().items())
    assert torch.equal(net.grid, torch.arange(4.0))


def test_the_old_tar_of_these_tests_is_what_torch_wrote(write: Callable[..., Path]) -> None:
    theirs = torch.load(write(as_tar()), weights_only=False)
    assert all(torch.equal(theirs[name], value) for name, value in STATE.items())


def test_matlab_tables(write: Callable[..., Path]) -> None:
    tree = read_checkpoint(write(as_mat(), "BFM.mat")).tree
    assert torch.equal(tree["base"], torch.arange(6.0, dtype=torch.float64).reshape(2, 3))
    assert torch.equal(tree["index"], torch.arange(4).reshape(1, 4))
    assert set(tree) == {"base", "index"}


def test_types_of_elements(write: Callable[..., Path]) -> None:
    types = [
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.int8,
        torch.uint8,
        torch.int16,
        torch.int32,
        torch.bool,
    ]

    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for i, dtype in enumerate(types):
                self.register_buffer(f"b{i}", torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype).t())

    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(Holder()), stream)
    tree = read_checkpoint(write(stream.getvalue())).tree
    for name, value in Holder().state_dict().items():
        assert tree[name].dtype is value.dtype
        assert torch.equal(tree[name], value)


@pytest.mark.parametrize("kind", ["safetensors", "torch zip", "scripted"])
def test_tensors_are_views_of_the_file_and_writing_leaves_it_alone(write: Callable[..., Path], kind: str) -> None:
    content = KINDS[kind][0]()
    path = write(content)
    tree = read_checkpoint(path).tree
    tree["head.weight"].fill_(7.0)
    assert path.read_bytes() == content
    assert not torch.equal(tree["head.weight"], STATE["head.weight"])


def test_nothing_is_larger_than_its_storage() -> None:
    from thg_zoo.weights.tensors import Storage

    storage = Storage(torch.zeros(4).untyped_storage()[4:12], torch.float32)
    assert storage.view(0, [2], [1]).tolist() == [0, 0]
    for offset, size, stride in [
        (0, [3], [1]),
        (1, [2], [1]),
        (0, [2], [5]),
        (-1, [1], [1]),
        (0, [2], [-1]),
        (2**60, [1], [1]),
    ]:
        with pytest.raises(CheckpointError):
            storage.view(offset, size, stride)
    empty = Storage(torch.empty(0).untyped_storage(), torch.float32)
    assert empty.view(0, [0, 3], [3, 1]).shape == (0, 3)
    with pytest.raises(CheckpointError):
        empty.view(0, [10], [1])


# What must never run.


class Evil:
    """Runs a command when it is unpickled by anything that trusts pickles."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def wrapped_in_bytes(evil: Evil) -> Any:
    """A second pickle inside the first, opened by one of torch's own functions."""

    class Inner:
        def __reduce__(self) -> Any:
            return torch.storage._load_from_bytes, (saved({"w": evil}, legacy=True),)

    return Inner()


def script_archive(pickled: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in {
            "data.pkl": pickled,
            "constants.pkl": b"\x80\x02).",
            "code/__torch__.py": b"",
            "version": b"3",
        }.items():
            archive.writestr("net/" + name, content)
    return stream.getvalue()


def objects_npz(evil: Evil) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, w=np.array([evil], dtype=object))
    return stream.getvalue()


def state_dict_with(evil: Any) -> Any:
    return {"epoch": 3, "state_dict": {"deep": [{"w": torch.zeros(2), "more": (evil,)}]}}


ATTACKS: dict[str, Callable[[Evil], bytes]] = {
    "zip": lambda e: saved({"w": e}),
    "zip, nested": lambda e: saved(state_dict_with(e)),
    "zip, wrapped": lambda e: saved({"w": wrapped_in_bytes(e)}),
    "legacy": lambda e: saved({"w": e}, legacy=True),
    "legacy, nested": lambda e: saved(state_dict_with(e), legacy=True),
    "tar, object": lambda e: as_tar({"w": e}),
    "tar, nested": lambda e: as_tar({"state_dict": [{"more": (e,)}]}),
    "tar, storages": lambda e: as_tar(replaced={"storages": pickle.dumps(e, 2)}),
    "tar, tensors": lambda e: as_tar(replaced={"tensors": pickle.dumps(e, 2)}),
    "TorchScript": lambda e: script_archive(pickle.dumps(e, 2)),
    "TorchScript, nested": lambda e: script_archive(pickle.dumps({"a": [e]}, 2)),
    "TorchScript, wrapped": lambda e: script_archive(pickle.dumps(wrapped_in_bytes(e), 2)),
    **{f"pickle protocol {p}": lambda e, p=p: pickle.dumps({"w": [e]}, p) for p in range(6)},
    "npz": objects_npz,
}
CLAIMED = {"npz": "pickle", **{f"pickle protocol {p}": "no known kind" for p in (0, 1)}}


@pytest.mark.parametrize("attack", ATTACKS)
def test_malicious_pickles_are_refused_and_never_run(write: Callable[..., Path], tmp_path: Path, attack: str) -> None:
    marker = tmp_path / "was-here"
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(write(ATTACKS[attack](Evil(marker))))
    assert not marker.exists()
    names = ("posix.system", "nt.system", "torch.storage._load_from_bytes")
    if attack in CLAIMED:
        assert CLAIMED[attack] in str(caught.value).lower()
    else:
        assert isinstance(caught.value, ForbiddenGlobal)
        assert caught.value.name in names
        assert str(write(b"")) in str(caught.value)


def test_the_attacks_of_these_tests_work_on_readers_that_trust(tmp_path: Path, write: Callable[..., Path]) -> None:
    marker = tmp_path / "was-here"
    for attack in ("zip", "legacy", "tar, object"):
        torch.load(write(ATTACKS[attack](Evil(marker))), weights_only=False)
        assert marker.exists()
        marker.unlink()


GADGETS = {
    "getattr": b"cbuiltins\ngetattr\n.",
    "eval": b"c__builtin__\neval\n(S'1'\ntR.",
    "import by hand": b"cimportlib\nimport_module\n(S'os'\ntR.",
    "class of numpy": b"cnumpy.core.multiarray\n_reconstruct\n.",
    "project class": b"ctrainer\nModel\n)\x81.",
    "attributes of a stand-in": b"ccollections\nOrderedDict\n(N}S'_call'\nI1\nst\x86b.",
    "attributes of a module": b"c__torch__\nNet\n(N}S'x'\nI1\nstb.",
}


@pytest.mark.parametrize("gadget", GADGETS)
def test_gadgets(write: Callable[..., Path], gadget: str) -> None:
    """Refused where it is found: that the result would be no checkpoint either does not count."""
    with pytest.raises(CheckpointError if gadget.startswith("attributes") else ForbiddenGlobal):
        read_checkpoint(write(script_archive(b"\x80\x02" + GADGETS[gadget])))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"seen": __import__("collections").defaultdict(int)}, "collections.defaultdict"),
        ({"loss": np.float64(0.5)}, "numpy"),
    ],
)
def test_harmless_but_foreign_globals_are_named(write: Callable[..., Path], value: Any, name: str) -> None:
    with pytest.raises(ForbiddenGlobal) as caught:
        read_checkpoint(write(saved(value)))
    assert name in caught.value.name
    assert "safetensors" in caught.value.remedy


@pytest.mark.parametrize("legacy", [False, True])
def test_options_of_a_training_run_are_no_obstacle(write: Callable[..., Path], legacy: bool) -> None:
    carried = {"gen": {"weight": torch.ones(2)}, "args": __import__("argparse").Namespace(lr=1e-3, names=["a"])}
    assert torch.equal(read_checkpoint(write(saved(carried, legacy))).tree["gen"]["weight"], torch.ones(2))
    carried["args"].loss = np.float64(0.5)
    with pytest.raises(ForbiddenGlobal, match="numpy"):
        read_checkpoint(write(saved(carried, legacy)))


# What is no checkpoint, or a broken one.

DISGUISES = {
    b"": "an empty file",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:7d0\nsize 435807851\n": "a git-lfs pointer",
    b"../../../.cache/huggingface/hub/models--a--b/blobs/c211f5d6": "the text of a symbolic link",
    b"/home/user/.cache/huggingface/blobs/c211f5d6de003516bf1bbda9f47049a4": "the text of a symbolic link",
    b"\n<!DOCTYPE html>\n<html>Google Drive - Virus scan warning</html>": "a web page",
    b"<html><head></head></html>": "a web page",
    b'{"error":"Repository not found"}': "a JSON text",
    b"\x1f\x8b\x08\x00" + bytes(20): "a gzip archive",
    b"just some words": "a file of no known kind",
}


@pytest.mark.parametrize("content", DISGUISES)
def test_disguises_are_named(write: Callable[..., Path], content: bytes) -> None:
    with pytest.raises(CheckpointError, match=DISGUISES[content]):
        read_checkpoint(write(content))


def test_a_missing_file() -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pth cannot be read"):
        read_checkpoint("nowhere.pth")


def test_a_single_tensor_is_no_state_dict(write: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match="holds a Tensor"):
        read_checkpoint(write(saved(torch.zeros(3))))


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files_are_errors(write: Callable[..., Path], kind: str) -> None:
    content = KINDS[kind][0]().rstrip(b"\0")  # the padding at the end of a tar archive is not missed
    for length in range(0, len(content) - 1, max(1, len(content) // 60)):
        with pytest.raises(CheckpointError):
            _read_everything(write(content[:length]))


def _read_everything(path: Path) -> None:
    extract(read_checkpoint(path), Part())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(write: Callable[..., Path], kind: str, data: st.DataObject) -> None:
    content = bytearray(_once(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        _read_everything(write(bytes(content)))
    except CheckpointError as error:
        assert str(error)


MADE: dict[str, bytes] = {}


def _once(kind: str) -> bytes:
    if kind not in MADE:
        MADE[kind] = as_mat() if kind == "mat" else KINDS[kind][0]()
    return MADE[kind]


def test_parts_of_a_checkpoint(write: Callable[..., Path]) -> None:
    one, two = trained_net(1).state_dict(), trained_net(2).state_dict()
    nested = {"nets": {"a": {f"module.{n}": v for n, v in one.items()}}, "epoch": 3}
    path = write(saved(nested))
    assert set(load_part(path, Part(at="nets/a", remove="module."))) == set(one)
    flat = {**{f"gen.{n}": v for n, v in one.items()}, **{f"kp.{n}": v for n, v in two.items()}}
    path = write(saved(flat))
    part = load_part(path, Part(prefix="kp."))
    assert torch.equal(part["head.bias"], two["head.bias"])
    with pytest.raises(CheckpointError, match=r"has no 'nets/b' in it\. Known are: a"):
        load_part(write(saved(nested)), Part(at="nets/b"))
    with pytest.raises(CheckpointError, match="no state dict at 'epoch'"):
        load_part(path := write(saved(nested)), Part(at="epoch"))
    assert path.exists()
