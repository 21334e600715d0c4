"""The C library's memory: kept where that can be asked for, and nothing elsewhere."""

from __future__ import annotations

import subprocess
import sys

import pytest

from thg_zoo import allocation

# How often a process faults while it allocates and touches 64 MB ten times over.
TOUCH = """
import resource
import numpy as np
from thg_zoo.allocation import keep_freed_memory
assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    array = np.empty(64 * 2**20, np.uint8)
    array[::4096] = 1
    del array
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


# Pages of one such array. Huge pages, where the system gives them, take fewer faults with any allocator.
PAGES = 64 * 2**20 // 4096


@pytest.mark.skipif(allocation.platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_freed_memory_is_used_again():
    done = subprocess.run([sys.executable, "-c", TOUCH], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 * PAGES


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(allocation.platform, "libc_ver", lambda: ("", ""))
    assert not allocation.keep_freed_memory()
