"""IP_LAP from crops, landmarks and sound to faces, as the adapter runs it, against what the published program draws."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from golden_cases import Case, Outputs, run
from test_iplap_networks import fast_renderer, generator
from thg_zoo.adapters.iplap.processing import cut_face, levels, network_faces
from thg_zoo.adapters.iplap.source import FPS, Identity, Track, reference_faces
from thg_zoo.adapters.iplap.speech import Talker
from thg_zoo.inputs import clip, open_source
from thg_zoo.runtime import Runtime

# Steps 0 and 1 of the published program draw the third and the fourth frame.
STEPS = slice(2, 4)
CPU = torch.device("cpu")


def chain(_: Case, inputs: dict[str, Tensor]) -> Outputs:
    frames = np.ascontiguousarray(inputs["faces"].numpy().astype(np.uint8)[..., ::-1])
    source = open_source(clip(frames, 25), ("video",))
    landmarks = torch.cat((inputs["pose"], inputs["content"]), dim=2).numpy()
    n, height, width = frames.shape[:3]
    boxes = np.tile(np.array([0, height, 0, width]), (n, 1))
    # Where the published program takes the opening of the lips this case takes a coordinate.
    track = Track(landmarks, boxes, np.ones(n, bool), inputs["content"][:, 1, 22].double().numpy(), FPS)
    network = fast_renderer()
    references = network.flow_module.read(*reference_faces(source, track, 3, CPU))
    tokens = generator().encode_references(torch.from_numpy(landmarks[track.references(15)]))
    talker = Talker(Identity("crops", track, references, tokens), generator(), Runtime(CPU), "mirror")
    with pytest.MonkeyPatch.context() as patch:
        contents: list[Tensor] = []
        predict = generator().predict
        patch.setattr(generator(), "predict", lambda *tokens: contents.append(predict(*tokens)) or contents[-1])
        motion = next(talker.pieces(lambda: [inputs["wav"].numpy()], 12))
    sketches = motion["sketches"][STEPS, :, None].expand(-1, -1, 3, -1, -1) / 255
    crops = network_faces(np.stack([cut_face(frames[k], boxes[k]) for k in (2, 3)]), CPU)
    drawn = network(crops, sketches.flatten(1, 2), references, motion["mel"][STEPS])
    enlarged = [cv2.resize(face, (width, height)) for face in levels(drawn).numpy()]
    return {
        "content": contents[0][STEPS],
        "sketches": sketches[:, None],
        "face": drawn[:, None],
        "face_u8": np.stack(enlarged)[..., ::-1],
    }


def test_chain_matches_published_program() -> None:
    errors = run("iplap", "chain", chain)
    assert all(error <= 1 for error in errors.values()), errors
