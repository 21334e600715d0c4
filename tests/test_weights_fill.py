"""Filling networks: strictly, from every kind of source, and without a second copy in memory."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from layouts import load_layout
from local_hub import FIRST_COMMIT
from thg_zoo.errors import CheckpointError, LicenceError, SpecError, VerificationError
from thg_zoo.spec import Licence, Lookalike, Part, Variant, bundled
from thg_zoo.weights import empty_networks, fetch, fill, fill_networks, import_file, installed, resolve, seeded
from weights_setup import REPO, Machine, Net, hub_source, machine, saved, trained_net, variant_of, weight_file  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch announces the end of scripting

NC = Licence("CC BY-NC 4.0", False, "https://creativecommons.org/licenses/by-nc/4.0/")


def empty_net(width: int = 8) -> Net:
    with empty_networks():
        return Net(width)


def assert_trained(net: Net, seed: int = 0) -> None:
    expected = trained_net(seed)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in expected.state_dict().items())
    with torch.inference_mode():
        assert torch.equal(net(torch.ones(1, 3, 8, 8)), expected(torch.ones(1, 3, 8, 8)))
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())


def test_empty_networks_have_constants_but_no_parameters() -> None:
    net = empty_net()
    assert all(p.is_meta for p in net.parameters())
    assert net.grid.tolist() == [0, 1, 2, 3]
    assert net.kernel[0, 0] == pytest.approx(1 / 9)
    assert not torch.empty(1).is_meta, "outside nothing is changed"


class TestStrictness:
    def test_exactly_the_networks_entries(self) -> None:
        net = empty_net()
        fill(net, trained_net().state_dict(), "toy.pth")
        assert_trained(net.eval().requires_grad_(False))

    def test_a_missing_counter_of_batches_is_zero(self) -> None:
        state = trained_net().state_dict()
        del state["norm.num_batches_tracked"]
        net = empty_net()
        fill(net, state, "toy.pth")
        assert net.norm.num_batches_tracked.item() == 0
        assert net.norm.num_batches_tracked.dtype is torch.int64

    def test_constants_that_the_network_makes_itself_may_be_there(self) -> None:
        net = empty_net()
        fill(net, trained_net().state_dict() | {"grid": torch.zeros(4)}, "toy.pth")
        assert net.grid.tolist() == [0, 1, 2, 3]

    def test_a_difference_is_short_and_readable(self) -> None:
        state = trained_net(width=16).state_dict() | {f"extra.{i}": torch.zeros(1) for i in range(9)}
        del state["head.bias"]
        with pytest.raises(CheckpointError) as caught:
            fill(empty_net(), state, "toy.pth, part 'net',")
        text = caught.value.message
        assert text.startswith("toy.pth, part 'net', does not fit the network: 1 missing: head.bias; ")
        assert "9 unexpected: extra.0, extra.1, extra.2, extra.3 and 5 more" in text
        assert "conv.weight [16, 3, 3, 3] instead of [8, 3, 3, 3]" in text
        assert len(text) < 500

    def test_a_known_layout_is_named(self) -> None:
        state = trained_net(width=16).state_dict()
        known = (
            Lookalike("the tiny one", "conv.weight", (4, 3, 3, 3)),
            Lookalike("the 288-pixel retraining", "conv.weight", (16, 3, 3, 3)),
        )
        with pytest.raises(CheckpointError, match=r"This looks like the 288-pixel retraining\."):
            fill(empty_net(), state, "toy.pth", known)

    def test_half_precision_files_become_the_networks_type(self) -> None:
        net = empty_net()
        fill(net, {n: v.half() if v.is_floating_point() else v for n, v in trained_net().state_dict().items()}, "toy")
        assert {p.dtype for p in net.parameters()} == {torch.float32}

    def test_integers_are_no_weights(self) -> None:
        with pytest.raises(CheckpointError, match=r"int8 where the network has torch\.float32"):
            fill(empty_net(), {n: v.to(torch.int8) for n, v in trained_net().state_dict().items()}, "toy")


class TestSources:
    def test_from_the_hub(self, machine: Machine) -> None:
        content = saved({"state_dict": {f"module.{n}": v for n, v in trained_net().state_dict().items()}, "epoch": 1})
        machine.hub.add(REPO, "net.pth", content)
        file = weight_file(content, parts={"net": Part(at="state_dict", remove="module.")})
        net = empty_net()
        (record,) = fill_networks({"net": net}, variant_of(file))
        assert_trained(net)
        assert (record.name, record.verified) == ("net.pth", "sha256")
        assert json.loads(json.dumps(record.as_dict()))["path"] == str(record.path)

    def test_two_parts_in_two_files(self, machine: Machine) -> None:
        one, two = saved(trained_net(1).state_dict()), saved(trained_net(2).state_dict())
        machine.hub.add(REPO, "one.pth", one)
        machine.hub.add(REPO, "two.pth", two)
        files = [
            weight_file(one, name="one.pth", parts={"a": Part()}),
            weight_file(two, name="two.pth", parts={"b": Part()}),
        ]
        nets = {"a": empty_net(), "b": empty_net()}
        records = fill_networks(nets, variant_of(*files))
        assert_trained(nets["a"], 1)
        assert_trained(nets["b"], 2)
        assert [r.name for r in records] == ["one.pth", "two.pth"]

    def test_from_a_folder_laid_out_like_the_published_one(self, machine: Machine, tmp_path: Path) -> None:
        content = saved(trained_net().state_dict())
        (tmp_path / "own" / "checkpoints").mkdir(parents=True)
        (tmp_path / "own" / "checkpoints" / "net-1a2b.pth").write_bytes(content)
        file = weight_file(content, hub_source(path="checkpoints/net-1a2b.pth"))
        net = empty_net()
        (record,) = fill_networks({"net": net}, variant_of(file), tmp_path / "own")
        assert_trained(net)
        assert (record.source, record.verified) == ("local", "sha256")
        assert machine.hub.requests == []
        with pytest.raises(CheckpointError, match=r"has no net\.pth.*net\.pth, checkpoints/net-1a2b\.pth"):
            fill_networks({"net": empty_net()}, variant_of(file), machine.folder)

    def test_from_a_file_of_the_users_own(self, machine: Machine, tmp_path: Path, caplog: Any) -> None:
        published = saved(trained_net(1).state_dict())
        path = tmp_path / "mine.pth"
        path.write_bytes(saved(trained_net(2).state_dict()))
        net = empty_net()
        (record,) = fill_networks({"net": net}, variant_of(weight_file(published)), path)
        assert_trained(net, 2)
        assert record.verified == "local"
        assert "mine.pth is not the published net.pth" in caplog.text

    def test_one_file_by_hand_the_other_from_the_hub(self, machine: Machine, tmp_path: Path) -> None:
        small, large = saved(trained_net(1).state_dict()), saved(trained_net(2, width=16).state_dict())
        machine.hub.add(REPO, "small.pth", small)
        files = [
            weight_file(small, name="small.pth", parts={"small": Part()}),
            weight_file(b"unlike", name="large.pth", parts={"large": Part()}),
        ]
        (tmp_path / "model").write_bytes(large)
        nets = {"small": empty_net(), "large": empty_net(16)}
        records = fill_networks(nets, variant_of(*files), tmp_path / "model")
        assert_trained(nets["small"], 1)
        assert {r.name: r.source.split(":")[0] for r in records} == {"small.pth": "huggingface", "large.pth": "local"}

    def test_a_scripted_module_under_the_usual_name(self, machine: Machine, tmp_path: Path) -> None:
        path = tmp_path / "wav2lip.pth"
        torch.jit.script(trained_net()).save(str(path))
        file = weight_file(b"unlike", parts={"net": Part(at="state_dict", remove="module.")})
        net = empty_net()
        fill_networks({"net": net}, variant_of(file), path)
        assert_trained(net)

    def test_the_file_of_another_part_is_named(self, machine: Machine, tmp_path: Path) -> None:
        (tmp_path / "a.pth").write_bytes(saved(trained_net(width=16).state_dict()))
        (tmp_path / "b.pth").write_bytes(saved(trained_net().state_dict()))
        files = [
            weight_file(None, name="a.pth", parts={"a": Part()}),
            weight_file(None, name="b.pth", parts={"b": Part()}),
        ]
        with pytest.raises(CheckpointError, match="It fits the part 'b'"):
            fill_networks({"a": empty_net(), "b": empty_net(16)}, variant_of(*files), tmp_path)

    def test_the_set_of_another_variant_is_refused(self, machine: Machine, tmp_path: Path) -> None:
        path = tmp_path / "net.pth"
        path.write_bytes(content := saved(trained_net().state_dict()))
        sha256 = hashlib.sha256(content).hexdigest()
        file = weight_file(b"unlike", refused={sha256: "net_512.pth of the same model: ask for toy-512"})
        for weights in (path, tmp_path):
            with pytest.raises(VerificationError, match="ask for toy-512"):
                fill_networks({"net": empty_net()}, variant_of(file), weights)

    def test_what_is_not_there(self, machine: Machine) -> None:
        with pytest.raises(CheckpointError, match="do not exist"):
            fill_networks({"net": empty_net()}, variant_of(weight_file(b"x")), "no/such/folder")

    def test_without_files_nothing_happens(self) -> None:
        assert fill_networks({}, Variant("warp", "Warp")) == []

    def test_parts_and_networks_have_to_agree(self) -> None:
        with pytest.raises(SpecError, match=r"has the part 'net'\. Did you mean 'nets'"):
            fill_networks({"nets": empty_net()}, variant_of(weight_file(b"x")), "random")
        with pytest.raises(SpecError, match="fills the network 'other'"):
            fill_networks({"net": empty_net(), "other": empty_net()}, variant_of(weight_file(b"x")), "random")

    def test_a_constant_lost_on_the_meta_device_is_said(self) -> None:
        with torch.device("meta"):
            net = Net()
        with pytest.raises(CheckpointError, match=r"'grid'.*empty_networks"):
            fill_networks({"net": net}, variant_of(weight_file(b"x")), "random")


class TestRandom:
    def test_seeded_and_named_so(self) -> None:
        one, same, other = empty_net(), empty_net(), empty_net()
        variant = variant_of(weight_file(b"x", licence=NC))
        (record,) = fill_networks({"net": one}, variant, "random")
        fill_networks({"net": same}, variant, "random")
        fill_networks({"net": other}, variant, "random", base=1)
        assert (record.name, record.path, record.source, record.verified) == ("net", None, "random", "random")
        assert torch.equal(one.conv.weight, same.conv.weight)
        assert not torch.equal(one.conv.weight, other.conv.weight)
        assert one.kernel[0, 0] == pytest.approx(1 / 9), "constants of the architecture stay"
        expected = seeded.fill("norm.running_var", (8,))
        assert np.array_equal(one.norm.running_var.numpy(), expected)

    def test_no_licence_and_no_network_is_needed(self, tmp_path: Path) -> None:
        code = """
import socket
def refuse(*_, **__): raise AssertionError("network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import thg_zoo
from thg_zoo.spec import Licence, FileSource, Part, Variant, WeightFile
from thg_zoo.weights import empty_networks, fill_networks, installed, is_installed, resolve
from torch import nn
source = FileSource("https", url="https://x.example/a")
file = WeightFile("net.pth", "network", Licence("NC", False), (source,), {"net": Part()})
with empty_networks():
    net = nn.Linear(3, 2)
print(fill_networks({"net": net}, Variant("toy", "Toy", (file,)), "random")[0].verified)
print(installed(file), resolve(Variant("toy", "Toy", (file,)), "random"))
from thg_zoo.zoo import list_models
print(len(list_models()) > 0)
"""
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={"HF_HOME": str(tmp_path), "PATH": ""}
        )
        assert ran.stdout.split() == ["random", "None", "{}", "True"], ran.stderr


class TestLicences:
    def test_random_needs_none_but_everything_else_does(self, machine: Machine, tmp_path: Path) -> None:
        content = saved(trained_net().state_dict())
        machine.hub.add(REPO, "net.pth", content)
        (tmp_path / "net.pth").write_bytes(content)
        variant = variant_of(weight_file(content, licence=NC))
        for weights in (None, tmp_path, tmp_path / "net.pth"):
            with pytest.raises(LicenceError, match=r"thg-zoo licenses accept cc-by-nc-4\.0"):
                fill_networks({"net": empty_net()}, variant, weights)
        assert machine.hub.requests == []

    def test_accepting_shows_the_terms_once_and_is_remembered(self, machine: Machine, caplog: Any) -> None:
        content = saved(trained_net().state_dict())
        machine.hub.add(REPO, "net.pth", content)
        file = weight_file(content, licence=NC)
        fetch(file, accept_licence=True)
        assert caplog.text.count("CC BY-NC 4.0 (no commercial use). https://creativecommons.org") == 1
        fetch(file, accept_licence=True)
        fetch(file)
        assert caplog.text.count("CC BY-NC") == 1

    @pytest.mark.parametrize("value", ["all", "cc-by-nc-4.0", "MIT, CC BY-NC 4.0"])
    def test_by_the_environment(self, machine: Machine, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        content = saved(trained_net().state_dict())
        machine.hub.add(REPO, "net.pth", content)
        monkeypatch.setenv("THG_ZOO_ACCEPT_LICENSES", value)
        fetch(weight_file(content, licence=NC))
        monkeypatch.setenv("THG_ZOO_ACCEPT_LICENSES", "MIT")
        with pytest.raises(LicenceError):
            fetch(weight_file(content, licence=NC))

    def test_changed_terms_are_asked_again(self, machine: Machine) -> None:
        from thg_zoo.weights import licences

        licences.accept(NC)
        licences.require([NC])
        with pytest.raises(LicenceError):
            licences.require([dataclasses.replace(NC, terms="And no use on Sundays.")])


class TestImport:
    def test_by_hash(self, machine: Machine, tmp_path: Path) -> None:
        content = saved(trained_net().state_dict())
        (tmp_path / "download(1)").write_bytes(content)
        file = weight_file(content)
        record = import_file(tmp_path / "download(1)", variant_of(file), lambda: pytest.fail("not needed"))
        assert (record.name, record.verified) == ("net.pth", "sha256")
        assert installed(file) == record.path
        assert fetch(file).source == "by hand"

    def test_by_layout_where_no_hash_is_known(self, machine: Machine, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(saved(trained_net().state_dict()))
        files = [
            weight_file(None, name="net.pth"),
            weight_file(None, name="wide.pth", parts={"wide": Part()}),
        ]
        nets = {"net": empty_net(), "wide": empty_net(16)}
        record = import_file(tmp_path / "x", variant_of(*files), lambda: nets)
        assert (record.name, record.verified) == ("net.pth", "first use")
        assert fetch(files[0]).verified == "first use"

    def test_a_conversion_of_unknown_hash(self, machine: Machine, tmp_path: Path) -> None:
        torch.jit.script(trained_net()).save(str(tmp_path / "SD.pt"))
        manual = dataclasses.replace(hub_source(), kind="manual", url="https://x.example", conversion=True)
        file = weight_file(b"unlike", hub_source(), manual)
        import_file(tmp_path / "SD.pt", variant_of(file), lambda: {"net": empty_net()})
        net = empty_net()
        (record,) = fill_networks({"net": net}, variant_of(file))
        assert_trained(net)
        assert record.verified == "first use"

    def test_other_bytes_need_trust(self, machine: Machine, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(saved(trained_net().state_dict()))
        variant = variant_of(weight_file(b"unlike"))
        with pytest.raises(VerificationError, match="--trust"):
            import_file(tmp_path / "x", variant, lambda: {"net": empty_net()})
        assert installed(variant.files[0]) is None
        import_file(tmp_path / "x", variant, lambda: {"net": empty_net()}, trust=True)
        assert fetch(variant.files[0]).source == "by hand"

    def test_a_wrong_layout_is_explained(self, machine: Machine, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(saved(trained_net(width=16).state_dict()))
        known = (Lookalike("the wide one", "conv.weight", (16, 3, 3, 3)),)
        variant = variant_of(weight_file(None, lookalikes=known))
        with pytest.raises(CheckpointError, match=r"net\.pth, part 'net': .*This looks like the wide one"):
            import_file(tmp_path / "x", variant, lambda: {"net": empty_net()}, trust=True)

    def test_what_is_known_to_be_wrong_is_refused_even_then(self, machine: Machine, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(content := saved(trained_net().state_dict()))
        file = weight_file(b"unlike", refused={hashlib.sha256(content).hexdigest(): "a bad copy"})
        with pytest.raises(VerificationError, match="it is a bad copy"):
            import_file(tmp_path / "x", variant_of(file), lambda: {"net": empty_net()}, trust=True)

    def test_a_full_disk_leaves_nothing(self, machine: Machine, tmp_path: Path, monkeypatch: Any) -> None:
        (tmp_path / "x").write_bytes(content := saved(trained_net().state_dict()))

        def full(_: Path, target: Path) -> None:
            target.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("thg_zoo.weights.importing.shutil.copyfile", full)
        with pytest.raises(Exception, match="the disk is full"):
            import_file(tmp_path / "x", variant_of(weight_file(content)), dict)
        assert machine.files() == []


def test_paths_of_files_that_are_no_networks(machine: Machine) -> None:
    machine.hub.add(REPO, "table.bin", b"numbers")
    variant = variant_of(weight_file(b"numbers", name="table.bin", parts={}))
    assert resolve(variant)["table.bin"].path.read_bytes() == b"numbers"  # type: ignore[union-attr]
    assert fill_networks({}, variant)[0].name == "table.bin"


# The published layout of Wav2Lip, from the hub to the networks.


def network_of(entries: dict[str, list[int]]) -> nn.Module:
    """A module with exactly these entries."""
    root = nn.Module()
    for name, shape in entries.items():
        *path, leaf = name.split(".")
        node = root
        for key in path:
            if key not in dict(node.named_children()):
                node.add_module(key, nn.Module())
            node = node.get_submodule(key)
        if leaf == "num_batches_tracked":
            node.register_buffer(leaf, torch.tensor(0))
        elif leaf.startswith("running_"):
            node.register_buffer(leaf, torch.zeros(shape))
        else:
            node.register_parameter(leaf, nn.Parameter(torch.empty(shape)))
    return root


def seeded_state(entries: dict[str, list[int]], prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + n: torch.from_numpy(np.asarray(v)) for n, v in seeded.fill_state_dict(entries).items()}


def test_the_published_set_of_wav2lip(machine: Machine) -> None:
    layout = load_layout("wav2lip")
    generator, detector = layout["wav2lip.pth"]["generator"], layout["s3fd.pth"]["detector"]
    optimizer = {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    contents = {
        "wav2lip.pth": saved(
            {
                "state_dict": seeded_state(generator, "module."),
                "optimizer": optimizer,
                "global_step": 1,
                "global_epoch": 2,
            }
        ),
        "s3fd.pth": saved(seeded_state(detector), legacy=True),
    }
    variant = bundled()["wav2lip"].variants["wav2lip"]
    files = []
    for file in variant.files:
        content = contents[file.name]
        source = file.sources[1]
        machine.hub.add(source.repo_id, source.path, content)
        files.append(
            dataclasses.replace(
                file,
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                sources=tuple(
                    dataclasses.replace(s, revision=FIRST_COMMIT) if s.revision else s for s in file.sources[:2]
                ),
            )
        )
    with empty_networks():
        networks = {"generator": network_of(generator), "detector": network_of(detector)}
    records = fill_networks(networks, dataclasses.replace(variant, files=tuple(files)), accept_licence=True)
    assert [r.verified for r in records] == ["sha256", "sha256"]
    assert "numz/wav2lip_studio" in records[0].source, "the first mirror has nothing, the second is used"
    for name, entries in (("generator", generator), ("detector", detector)):
        state = networks[name].state_dict()
        assert list(state) == list(entries)
        for key in list(entries)[:: max(1, len(entries) // 12)]:
            assert np.array_equal(state[key].numpy(), seeded.fill(key, entries[key])), key


def test_the_retraining_of_wav2lip_is_named(machine: Machine, tmp_path: Path) -> None:
    layout = load_layout("wav2lip")
    generator, detector = layout["wav2lip.pth"]["generator"], layout["s3fd.pth"]["detector"]
    with empty_networks():
        networks = {"generator": network_of(generator), "detector": network_of(detector)}
    state = {"face_encoder_blocks.8.0.conv_block.0.weight": torch.zeros(512, 512, 3, 3), "x": torch.zeros(1)}
    (tmp_path / "wav2lip.pth").write_bytes(saved({"state_dict": {f"module.{n}": v for n, v in state.items()}}))
    (tmp_path / "s3fd.pth").write_bytes(saved(state))
    variant = bundled()["wav2lip"].variants["wav2lip"]
    with pytest.raises(CheckpointError, match=r"This looks like the 288-pixel retraining"):
        fill_networks(networks, variant, tmp_path, accept_licence=True)


MEASURE = """
import sys, threading, time
from pathlib import Path
import torch
from torch import nn
from thg_zoo.spec import Licence, FileSource, Part, Variant, WeightFile
from thg_zoo.weights import empty_networks, fill_networks
path, layers, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
source = FileSource("https", url="https://x.example/net")
file = WeightFile("net", "n", Licence("MIT", True), (source,), {"net": Part()})
def resident(): return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) * 1024
before = resident()
with empty_networks():
    net = nn.Sequential(*(nn.Linear(width, width) for _ in range(layers)))
fill_networks({"net": net}, Variant("t", "t", (file,)), path)
touched = sum(float(p.sum()) for p in net.parameters())
print((resident() - before) / Path(path).stat().st_size)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("kind", ["safetensors", "torch zip", "torch legacy"])
def test_loading_holds_the_weights_once(tmp_path: Path, kind: str) -> None:
    layers, width = 12, 1800  # 156 MB; far above what imports on the way take
    net = {
        f"{i}.{n}": torch.ones(s) for i in range(layers) for n, s in (("weight", (width, width)), ("bias", (width,)))
    }
    path = tmp_path / "net"
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file(net, path)
    else:
        torch.save(net, path, _use_new_zipfile_serialization=kind == "torch zip")
    command = [sys.executable, "-c", MEASURE, str(path), str(layers), str(width)]
    environment = {"HF_HOME": str(tmp_path / "hf"), "PATH": ""}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) < 1.3
