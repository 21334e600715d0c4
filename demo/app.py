"""Entry point of a Hugging Face Space, and of `python app.py`: the page with limits for many visitors.

GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say where to listen, as Spaces set them. Weights that the operator wants
there are named in THG_ZOO_DEMO_MODELS (separated by commas) and fetched at the start; their terms have to be accepted
in THG_ZOO_ACCEPT_LICENSES.
"""

from __future__ import annotations

import os
import threading

# A visitor's recording of two minutes keeps the others waiting long enough.
os.environ.setdefault("THG_ZOO_MAX_SECONDS", "120")
os.environ.setdefault("THG_ZOO_MAX_PIXELS", "25000000")
# Idle threads that spin would take the cores from ffmpeg; read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from thg_zoo.demo.server import serving
from thg_zoo.demo.settings import Settings
from thg_zoo.demo.shelf import fetch_named


def main() -> None:
    """Serve until the process is ended."""
    fetch_named(os.environ.get("THG_ZOO_DEMO_MODELS", ""))
    with serving(Settings(manage=False, max_upload_mb=50), host=None):
        threading.Event().wait()


if __name__ == "__main__":
    main()
