"""How fast models are on this machine: seeded weights, no download, file to file, beside a plain loop.

from thg_zoo.bench import bench

for measurement in bench(["fomm"], "face.png", "speech.wav"):
    print(measurement.name, measurement.times_plain, measurement.error)
"""

from __future__ import annotations

from thg_zoo.bench.measuring import Measurement, bench
from thg_zoo.bench.presenting import chart, check_chart_name, page, to_json
from thg_zoo.bench.timing import Timed

__all__ = ["Measurement", "Timed", "bench", "chart", "check_chart_name", "page", "to_json"]
