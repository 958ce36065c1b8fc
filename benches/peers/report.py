"""Figures to Markdown."""

import string

from turns import ratio

TITLES = {
    "x3d_xs": "X3D-XS, 4 × 182²",
    "x3d_s": "X3D-S, 13 × 182²",
    "x3d_m": "X3D-M, 16 × 256²",
    "r2plus1d_18": "R(2+1)D-18, 16 × 112²",
}
RUNTIMES = {
    "onnxruntime": "ONNX Runtime",
    "openvino-f32": "OpenVINO f32",
    "openvino-bf16": "OpenVINO bf16",
    "pytorch": "PyTorch",
    "tract": "tract",
    "window": "kinewatch `window`",
    "continual": "kinewatch `continual`",
}
PROGRAMS = {
    "kinewatch-continual": "`kinewatch run --fast`, `continual`",
    "kinewatch-window": "`kinewatch run --fast`, `window`",
    "kinewatch-tract": "the same without its own kernels",
    "opencv-onnxruntime": "OpenCV + ONNX Runtime (`opencv_ort.py`)",
    "openvino-f32": "OpenVINO's pattern, f32 (`openvino_pattern.py`)",
    "openvino-default": "OpenVINO's pattern, precision left to OpenVINO",
    "decoding-gstreamer": "decoding alone (GStreamer), no predictions",
}
# Who is to take at most which share of whose time, on one core.
TARGETS = [
    *((model, "window", peer, share) for model in ("x3d_xs", "x3d_s", "x3d_m")
      for peer, share in (("onnxruntime", 0.55), ("openvino-f32", 1.0))),
    ("r2plus1d_18", "window", "onnxruntime", 1.0),
    ("x3d_s", "continual", "openvino-f32", 1 / 10),
    ("x3d_m", "continual", "openvino-f32", 1 / 12),
]
NONE = "–"


def table(head, rows):
    """Numbers, which is every column but the first, stand to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ms(result, key="ms"):
    if not result or not result.get(key):
        return NONE
    value = result[key]
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def share(found):
    return f"{found:.3f}" if found is not None else NONE


def reasons(networks):
    """Why some were not measured."""
    told = {
        f"- {TITLES[model]}, {RUNTIMES[name]}: not measured: {result['error']}"
        for model, found in networks.items()
        for name, result in found["runtimes"].items() if "error" in result
    }
    return "\n".join(["", *sorted(told), ""]) if told else ""


def times(networks):
    """By the clock, and of the processor."""
    if not networks:
        return "Not measured in this run."
    tables = []
    for title, key in (("ms a prediction", "ms"), ("processor ms a prediction", "cpu_ms")):
        rows = [
            [TITLES[model], *(ms(found["runtimes"].get(name), key) for name in RUNTIMES)]
            for model, found in networks.items()
        ]
        tables.append(table([title, *RUNTIMES.values()], rows))
    return "\n\n".join(tables) + "\n" + reasons(networks)


def ratios(networks):
    if not networks:
        return "Not measured in this run."
    pairs = [("window", "onnxruntime"), ("window", "openvino-f32"), ("window", "tract"),
             ("continual", "onnxruntime"), ("continual", "openvino-f32"), ("continual", "window")]
    head = ["time as a share", *(f"`{a}` / {RUNTIMES[b].removeprefix('kinewatch ')}" for a, b in pairs)]
    rows = []
    for model, found in networks.items():
        runtimes = found["runtimes"]
        both = [ratio(runtimes.get(a), runtimes.get(b)) for a, b in pairs]
        rows.append([TITLES[model], *(
            f"{share(r['of_rounds'])} ({share(r['of_medians'])}, {share(r['of_cpu'])})" if r else NONE
            for r in both)])
    return table(head, rows)


def agreement(networks):
    if not networks:
        return "Not measured in this run."
    names = [name for name in RUNTIMES if name not in ("onnxruntime", "continual")]
    head = ["largest difference", *(RUNTIMES[name] for name in names)]
    rows = [
        [TITLES[model], *(
            f"{found['differences'][name]:.1e}" if name in found["differences"] else NONE
            for name in names)]
        for model, found in networks.items()
    ]
    return table(head, rows)


def programs(part):
    if not part:
        return "Not measured in this run."
    found = part["programs"]
    base = found.get("opencv-onnxruntime", {})
    rows = []
    for name, title in PROGRAMS.items():
        one = found.get(name)
        if one and "error" in one:
            rows.append([title, f"not measured: {one['error']}", NONE, NONE, NONE, NONE])
        elif one:
            against = "cpu_per_s" in base
            rows.append([
                title,
                f"{one['cpu_per_s']:.3f}",
                f"{one['cpu_per_s'] / base['cpu_per_s']:.3f}" if against else NONE,
                f"{one['peak_bytes'] / 1e6:.0f}",
                f"{one['peak_bytes'] / base['peak_bytes']:.2f}" if against else NONE,
                str(one["predictions"]),
            ])
    return table(["program", "CPU s per s of video", "share of OpenCV + ONNX Runtime",
                  "peak memory, MB", "share of it", "predictions"], rows)


def peak(results):
    one = results.get("roofline")
    if not one:
        return "Not measured in this run."
    every = results.get("all_cores_roofline")
    rows = []
    for at, found in enumerate(one["peaks"]):
        rows.append([f"multiply-adds in registers, {found['instructions']}, GFLOP/s",
                     f"{found['gflops']:.0f}", f"{every['peaks'][at]['gflops']:.0f}" if every else NONE])
    for at, found in enumerate(one["reads"]):
        size = found["bytes"]
        size = f"{size >> 30} GiB" if size >= 1 << 30 else f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
        rows.append([f"reading {size} a thread again and again, GB/s",
                     f"{found['gb_per_s']:.0f}", f"{every['reads'][at]['gb_per_s']:.0f}" if every else NONE])
    return table(["", "one core", "all cores"], rows)


def reached(results):
    """Which share of the one core's peak each runtime reaches, over a whole clip."""
    networks, roof = results.get("one_core"), results.get("roofline")
    if not networks or not roof:
        return ""
    best = max(found["gflops"] for found in roof["peaks"])
    names = ["onnxruntime", "openvino-f32", "pytorch", "tract", "window", "continual"]
    rows = []
    for model, found in networks.items():
        runtimes = found["runtimes"]
        counts = [runtimes.get(name, {}).get("ready") or {} for name in ("window", "tract")]
        clip = next((c["multiply_accumulates"] for c in counts if c.get("multiply_accumulates")), None)
        step = (runtimes.get("continual", {}).get("ready") or {}).get("multiply_accumulates")
        cells = [f"{clip / 1e9:.2f}" if clip else NONE]
        for name in names:
            work = step if name == "continual" else clip
            result = runtimes.get(name, {})
            known = work and "ms" in result
            took = (result["cpu_ms"] or result["ms"]) if known else None
            cells.append(f"{2 * work / 1e6 / took / best:.0%}" if known else NONE)
        rows.append([TITLES[model], *cells])
    return table(["share of the peak", "G multiply-adds a clip", *(RUNTIMES[n] for n in names)], rows)


def judged(what, target, found, by_processor=None):
    verdict = NONE if found is None else "pass" if found <= target else "**miss**"
    measured = "not measured" if found is None else f"{found:.3f}"
    return [what, f"≤ {target:.3f}", measured, share(by_processor), verdict]


def targets(results):
    rows = []
    networks = results.get("one_core") or {}
    for model, who, peer, limit in TARGETS:
        runtimes = networks.get(model, {}).get("runtimes", {})
        found = ratio(runtimes.get(who), runtimes.get(peer))
        rows.append(judged(f"{TITLES[model]}: `{who}` / {RUNTIMES[peer]}", limit,
                           found and found["of_rounds"], found and found["of_cpu"]))
    found = (results.get("pipeline") or {}).get("programs", {})
    ours, theirs = found.get("kinewatch-continual", {}), found.get("opencv-onnxruntime", {})
    for what, key, limit in (("CPU time", "cpu_per_s", 1 / 10), ("peak memory", "peak_bytes", 1 / 2)):
        known = key in ours and key in theirs
        rows.append(judged(f"recording to predictions, X3D-S `continual`: {what} / OpenCV + ONNX Runtime",
                           limit, ours[key] / theirs[key] if known else None))
    own = results.get("camera_events") or {}
    rows.append(judged("camera-events `stateful`: ms a sampled frame", 2.0,
                       own.get("ms"), own.get("cpu_ms")))
    return table(["one core, f32", "target", "measured", "by processor time", ""], rows)


def described(results):
    m, v = results["machine"], results["versions"]
    memory = f", {m['memory_gb']:.0f} GB" if m["memory_gb"] else ""
    best = max((results.get("roofline") or {"peaks": []})["peaks"], key=lambda p: p["gflops"], default=None)
    cores = f"{m['cores']} core" + "s" * (m["cores"] > 1)
    return table(["", ""], [
        ["machine", (f"{m['board']}; " if m["board"] else "") + f"{m['cpu']}, {m['architecture']}, "
            f"{cores}{memory}" + (", virtual" if m["virtual"] else "")],
        ["fastest instructions", best["instructions"] if best else NONE],
        ["system", m["system"]],
        ["load before (1 min)", f"{m['load']:.2f}"],
        ["kinewatch", f"{v['kinewatch']} ({v['revision']}), tract {v['tract']}, {v['rustc']}"],
        ["GStreamer", v["gstreamer"]],
        ["peers", f"ONNX Runtime {v['onnxruntime']}, OpenVINO {v['openvino']}, PyTorch {v['torch']}, "
            f"OpenCV {v['opencv-python-headless']}, Python {v['python']}"],
        ["date", results["date"]],
        ["command", f"`{results['command']}`, {results['rounds']} rounds"],
    ]).replace("---:", "---")


def render(results, template):
    pipeline = results.get("pipeline")
    return string.Template(template).substitute(
        machine=described(results),
        targets=targets(results),
        one_core=times(results.get("one_core")),
        one_core_ratios=ratios(results.get("one_core")),
        all_cores=times(results.get("all_cores")),
        all_cores_ratios=ratios(results.get("all_cores")),
        agreement=agreement(results.get("one_core")),
        pipeline=programs(pipeline),
        seconds=pipeline["seconds"] if pipeline else NONE,
        bitrate=f"{pipeline['bitrate'] / 1e3:.0f}" if pipeline else NONE,
        pipeline_rounds=pipeline["rounds"] if pipeline else NONE,
        camera_events=ms(results.get("camera_events")),
        peak=peak(results),
        reached=reached(results),
    )
