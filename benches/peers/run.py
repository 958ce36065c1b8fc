"""Measures kinewatch beside ONNX Runtime, OpenVINO and PyTorch: see docs/benchmarks.md.

    python benches/peers/run.py [--quick] [--models x3d_s …] [--parts one-core …] [--write FILE]

Needs the Python packages of requirements.txt (--python: the interpreter that has them;
this script itself needs none, and stays small, because a child's peak memory counts
from its parent's size) and the programs of `cargo build --release --bins --examples`.
The report goes to standard output, what it does meanwhile to standard error.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import machine
import pipeline
import report
import turns

HERE = pathlib.Path(__file__).parent
ROOT = HERE.resolve().parents[1]
MODELS = ["x3d_xs", "x3d_s", "x3d_m", "r2plus1d_18"]
PARTS = ["one-core", "all-cores", "pipeline"]
PEERS = ["onnxruntime", "openvino-f32", "openvino-bf16", "pytorch"]
# The largest difference of a logit from ONNX Runtime's that f32 may show, as a share of
# the largest logit.
TOLERANCE = 1e-3


def say(text):
    print(f"bench-peers: {text}", file=sys.stderr, flush=True)


def prepare(args, model):
    """The model's folder, made where it is not there or was made by other scripts."""
    folder = args.cache / model
    scripts = [HERE / "prepare.py", HERE / "requirements.txt", ROOT / "models/export/export.py"]
    made_by = hashlib.sha256(b"".join(file.read_bytes() for file in scripts)).hexdigest()
    stamp = folder / "made-by"
    if not stamp.exists() or stamp.read_text() != made_by:
        say(f"exporting {model}")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([args.python, HERE / "prepare.py", model, folder], check=True, stdout=sys.stderr)
        stamp.write_text(made_by)
    return folder


def steps(args, folder, mode, threads, frames):
    return [args.bin / "examples/steps", folder, mode, threads, frames]


def workers(args, folder, threads, cpus):
    frames = folder / "frames.f32"
    for runtime in PEERS:
        yield runtime, [args.python, HERE / "worker.py", runtime, folder, threads], None, 1
    window = steps(args, folder, "window", threads, frames)
    yield "tract", window, {"KINEWATCH_ENGINE": "tract"}, 1
    yield "window", window, None, 1
    yield "continual", steps(args, folder, "continual", threads, frames), None, 8


def differences(running):
    """Largest difference of each runtime's logits from ONNX Runtime's for the same clip,
    as a share of the largest. A stream's logits are another matter."""
    logits = {w.name: w.ask("logits") for w in running if w.name != "continual"}
    logits = {name: answer["logits"] for name, answer in logits.items() if answer}
    truth = logits.get("onnxruntime")
    if not truth:
        return {}
    largest = max(map(abs, truth))
    return {
        name: max(abs(a - b) for a, b in zip(values, truth)) / largest
        for name, values in logits.items()
    }


def networks(args, threads, cpus):
    """Every model in every runtime, in turns."""
    results = {}
    for model in args.models:
        folder = prepare(args, model)
        say(f"{model}, {threads} thread{'s' * (threads > 1)}")
        running = []
        try:
            for name, command, environment, unit in workers(args, folder, threads, cpus):
                running.append(turns.Worker(name, command, cpus, environment, unit))
                if running[-1].error:
                    say(f"  {name}: {running[-1].error}")
            apart = differences(running)
            wrong = {name: d for name, d in apart.items() if d > TOLERANCE and "bf16" not in name}
            if wrong:
                sys.exit(f"bench-peers: {model}: logits that are not the same: {wrong}")
            turns.measure(running, args.rounds, say)
        finally:
            for worker in running:
                worker.end()
        results[model] = {"runtimes": {w.name: w.result() for w in running}, "differences": apart}
    return results


def camera_events(args, cpu):
    """The built-in model, a frame at a time."""
    frames = args.cache / "camera-events.f32"
    if not frames.exists():
        # Values do not matter, only that they are no zeros: a fixed pattern in 0 to 1.
        import array
        values = array.array("f", ((i * 7919 % 251) / 251 for i in range(16 * 96 * 128)))
        frames.write_bytes(values.tobytes())
    worker = turns.Worker("stateful", steps(args, "embedded", "stateful", 1, frames), {cpu})
    turns.measure([worker], args.rounds, say)
    worker.end()
    return worker.result()


def recording(args):
    video = args.cache / f"recording-{args.seconds}s.mkv"
    if not video.exists():
        say(f"writing a recording of {args.seconds} s")
        subprocess.run(
            [args.bin / "kinewatch", "-q", "synth", "--size", "1280x720", "--fps", "25",
             "--seconds", str(args.seconds), "--seed", "1", "-o", video],
            check=True, stdout=subprocess.DEVNULL)
    return video


def roofline(args, threads, cpus):
    output = subprocess.run(
        [args.bin / "examples/roofline", str(threads)], check=True, capture_output=True, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus)).stdout
    return json.loads(output)


def measure(args):
    cpus = os.sched_getaffinity(0)
    last = max(cpus)  # the first takes most of a system's own work
    results = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": args.command,
        "rounds": args.rounds,
        "machine": machine.describe(cpus),
        "versions": machine.versions(args.python, args.bin / "kinewatch", ROOT),
    }
    if "one-core" in args.parts:
        say("the machine's peak")
        results["roofline"] = roofline(args, 1, {last})
        results["one_core"] = networks(args, 1, {last})
        results["camera_events"] = camera_events(args, last)
    if "all-cores" in args.parts and len(cpus) > 1:
        results["all_cores_roofline"] = roofline(args, len(cpus), cpus)
        results["all_cores"] = networks(args, len(cpus), cpus)
    if "pipeline" in args.parts:
        bundle, video = prepare(args, "x3d_s").resolve(), recording(args).resolve()
        work = args.cache / "pipeline"
        work.mkdir(exist_ok=True)
        say("from a recording to predictions")
        programs = pipeline.programs(args.python, args.bin / "kinewatch", bundle, video, work)
        results["pipeline"] = {
            "seconds": args.seconds,
            "bitrate": video.stat().st_size * 8 / args.seconds,
            "rounds": args.pipeline_rounds,
            "floor_bytes": pipeline.own_peak(),
            "programs": pipeline.measure(
                programs, last, args.pipeline_rounds, work, args.seconds, say),
        }
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has requirements.txt")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "target/release")
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / "target/peers")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--pipeline-rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=60, help="length of the recording")
    parser.add_argument("--quick", action="store_true", help="3 rounds, a recording of 20 s")
    parser.add_argument("--write", type=pathlib.Path, help="write the report here as well")
    parser.add_argument("--render", type=pathlib.Path, help="measure nothing; report on these results")
    parser.add_argument("--command", default="python " + " ".join(sys.argv), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.pipeline_rounds, args.seconds = 3, 1, 20
    if args.render:
        results = json.loads(args.render.read_text())
    else:
        args.cache.mkdir(parents=True, exist_ok=True)
        results = measure(args)
        (args.cache / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        say(f"all figures: {args.cache / 'results.json'}")
    text = report.render(results, (HERE / "report.md.in").read_text())
    print(text, end="")
    if args.write:
        args.write.write_text(text)


if __name__ == "__main__":
    main()
