"""From a recording to predictions: processor time and memory of whole programs."""

import os
import pathlib
import resource
import statistics
import subprocess

HERE = pathlib.Path(__file__).parent

CONFIG = """\
[[stream]]
name   = "recording"
source = {{ path = "{video}" }}

[model]
path    = "{bundle}"
mode    = "{mode}"
threads = 1

[predict]
hop    = 1
smooth = "none"
events = "none"

[[sink]]
kind = "stdout"
"""


def run(command, cpu, output, environment=None):
    """What the command and its children took: seconds of processor time, and the
    largest resident size of one process in bytes."""
    with open(output, "w") as out, open(f"{output}.log", "w") as log:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=log, stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        said = pathlib.Path(f"{output}.log").read_text().strip().splitlines()
        return {"error": said[-1] if said else f"it ended with {process.returncode}"}
    lines = pathlib.Path(output).read_text().splitlines()
    return {
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
        "predictions": sum('"top"' in line for line in lines),
    }


def programs(python, kinewatch, bundle, video, work):
    """Name, command and environment of each."""
    def ours(mode, name, environment=None):
        config = work / f"{name}.toml"
        config.write_text(CONFIG.format(video=video, bundle=bundle, mode=mode))
        return name, [kinewatch, "-qq", "run", "--fast", "--format", "json", config], environment

    return [
        ours("continual", "kinewatch-continual"),
        ours("window", "kinewatch-window"),
        ours("window", "kinewatch-tract", {"KINEWATCH_ENGINE": "tract"}),
        ("opencv-onnxruntime", [python, HERE / "opencv_ort.py", bundle, video], None),
        ("openvino-f32", [python, HERE / "openvino_pattern.py", bundle, video, "f32"], None),
        ("openvino-default", [python, HERE / "openvino_pattern.py", bundle, video, "default"], None),
        ("decoding-gstreamer", [
            "gst-launch-1.0", "-q", "filesrc", f"location={video}", "!", "matroskademux", "!",
            "h264parse", "!", "avdec_h264", "max-threads=1", "!", "fakesink", "sync=false"], None),
    ]


def measure(programs, cpu, rounds, work, seconds, say):
    """Every program's runs over the recording of `seconds`, in turns."""
    runs = {name: [] for name, _, _ in programs}
    for at in range(rounds):
        for name, command, environment in programs:
            if any("error" in one for one in runs[name]):
                continue
            one = run(command, cpu, work / f"{name}.out", environment)
            runs[name].append(one)
            told = one.get("error") or f"{one['cpu_s'] / seconds:.3f} s a second of video"
            say(f"  round {at + 1} of {rounds}: {name} {told}")
    return {name: summary(ones, seconds) for name, ones in runs.items()}


def summary(ones, seconds):
    for one in ones:
        if "error" in one:
            return one
    return {
        "cpu_per_s": statistics.median(one["cpu_s"] for one in ones) / seconds,
        "runs": [one["cpu_s"] / seconds for one in ones],
        "peak_bytes": statistics.median(one["peak_bytes"] for one in ones),
        "predictions": ones[-1]["predictions"],
    }


def own_peak():
    """What a child's peak counts before it becomes another program: ours."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
