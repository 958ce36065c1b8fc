"""The machine that was measured, and what ran on it."""

import os
import pathlib
import platform
import re
import subprocess


def first_line(command):
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return text.strip().splitlines()[0] if text.strip() else None


def describe(cpus):
    info = pathlib.Path("/proc/cpuinfo").read_text()
    board = pathlib.Path("/proc/device-tree/model")
    name = re.search(r"^model name\s*:\s*(.+)$", info, re.M)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.M)
    return {
        "cpu": name[1] if name else platform.processor() or "unknown",
        "board": board.read_text().strip("\0\n ") if board.exists() else None,
        "virtual": " hypervisor" in info,
        "cores": len(cpus),
        "architecture": platform.machine(),
        "memory_gb": int(memory[1]) * 1024 / 1e9 if memory else None,
        "system": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg()[0],
    }


VERSIONS = """
import importlib.metadata as m
for name in ("onnxruntime", "openvino", "torch", "opencv-python-headless"):
    print(name, m.version(name))
"""


def versions(python, kinewatch, root):
    found = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout
    found = dict(line.split() for line in found.splitlines())
    lock = (root / "Cargo.lock").read_text()
    revision = first_line(["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=7"])
    return {
        "kinewatch": (first_line([str(kinewatch), "--version"]) or "").removeprefix("kinewatch "),
        "revision": revision,
        "tract": re.search(r'name = "tract-core"\nversion = "(.+)"', lock)[1],
        "rustc": first_line(["rustc", "--version"]),
        "python": platform.python_version(),
        "gstreamer": (first_line(["gst-launch-1.0", "--version"]) or "").removeprefix("gst-launch-1.0 version "),
        **found,
    }
