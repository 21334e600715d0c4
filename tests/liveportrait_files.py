"""LivePortrait's published sets of files, made from networks: the authors' own and the copy in safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from thg_zoo.adapters.liveportrait.perceptrons import build_perceptrons

FILES = {
    "liveportrait/base_models/appearance_feature_extractor.pth": ["F"],
    "liveportrait/base_models/motion_extractor.pth": ["M"],
    "liveportrait/base_models/warping_module.pth": ["W"],
    "liveportrait/base_models/spade_generator.pth": ["G"],
    "liveportrait/retargeting_models/stitching_retargeting_module.pth": list(build_perceptrons()),
}


def write_files(folder: Path, networks: Mapping[str, nn.Module], form: str) -> Path:
    """The files of those networks that are given, as `pth` or `safetensors`."""
    for file, parts in FILES.items():
        if not set(parts) <= set(networks):
            continue
        states = {part: networks[part].state_dict() for part in parts}
        path = folder / (file if form == "pth" else Path(file).with_suffix(".safetensors").name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if form == "pth":
            wrapped = {part: {f"module.{name}": value for name, value in states[part].items()} for part in parts}
            torch.save(states[parts[0]] if len(parts) == 1 else {**wrapped, "other": {"x": torch.zeros(3)}}, path)
        else:
            prefixes = {part: "" if len(parts) == 1 else f"{part}_module." for part in parts}
            flat = {prefixes[part] + name: value for part in parts for name, value in states[part].items()}
            safetensors.torch.save_file(flat, path)
    return folder
