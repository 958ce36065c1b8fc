"""Makes the real-footage validation set from a folder of fixed-camera clips.

    python real_footage.py --clips DIR --out DIR

Nothing of it is ever trained on. Each row of MANIFEST names a piece of a real
recording; the subject classes are what the piece itself shows (also mirrored,
turned by a quarter, or played backwards, which changes the label with it), the
camera classes are made by doing to the piece what happens to cameras: a window
that slides or jumps over the picture, a Gaussian blur, something dark or plain
drawn over it, a gain that steps or swings. Every clip is written as H.264 with
its label in a CSV beside it, to be run through `kinewatch run`.

The footage is third-party and not part of this repository.
"""

import argparse
import csv
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

# (clip, first second, last second) where nothing crosses the view and the
# camera stands still: they serve as `idle`, and under every camera fault.
STILL = [
    ("cctv/car-detection.mp4", 0.0, 3.6), ("cctv/car-detection.mp4", 9.2, 12.6), ("cctv/car-detection.mp4", 18.5, 23.5),
    ("gmdcsa24/Subject_1_ADL_16.mp4", 0.0, 3.5), ("gmdcsa24/Subject_1_Fall_13.mp4", 1.8, 4.3),
    ("gmdcsa24/Subject_1_Fall_14.mp4", 2.6, 5.6), ("gmdcsa24/Subject_1_Fall_15.mp4", 3.4, 6.0),
    ("gmdcsa24/Subject_2_ADL_23.mp4", 0.0, 7.2), ("gmdcsa24/Subject_2_Fall_12.mp4", 8.6, 12.2),
    ("gmdcsa24/Subject_2_Fall_13.mp4", 5.0, 8.8), ("gmdcsa24/Subject_2_Fall_14.mp4", 5.5, 11.0),
    ("asl/again.mkv", 0.0, 2.5), ("asl/book.mkv", 0.0, 3.6), ("asl/walk.mkv", 0.0, 2.9),
    ("untrimmed/exercise.avi", 4.0, 10.0), ("untrimmed/exercise.avi", 22.0, 27.0),
    ("ucf/v_Basketball_g01_c01.avi", 0.0, 4.6),
]
# Someone crosses or comes or goes under these; what the camera suffers wins.
BUSY = [
    ("cctv/car-detection.mp4", 3.8, 8.4), ("cctv/highway_video.avi", 0.0, 5.0), ("gmdcsa24/Subject_1_ADL_10.mp4", 0.0, 3.9),
    ("gmdcsa24/Subject_2_Fall_12.mp4", 0.0, 5.0), ("cctv/highway_video.avi", 5.0, 10.0),
]
# (clip, from, to, label, turn): what the piece itself shows. Cars seen from
# above may also be turned by a quarter, clockwise or not, so that those that
# grow still come down the picture.
MOVING = [
    ("cctv/highway_video.avi", 1.6, 3.6, "left-to-right", "left"), ("cctv/highway_video.avi", 3.4, 5.8, "left-to-right", "left"),
    ("cctv/highway_video.avi", 6.0, 8.2, "left-to-right", "left"), ("cctv/highway_video.avi", 9.4, 11.2, "left-to-right", "left"),
    ("gmdcsa24/Subject_1_ADL_10.mp4", 0.0, 1.7, "left-to-right", None),
    ("cctv/car-detection.mp4", 4.6, 8.0, "receding", "right"), ("cctv/car-detection.mp4", 25.4, 28.0, "approaching", "right"),
]
MIRROR = {"left-to-right": "right-to-left", "right-to-left": "left-to-right"}
BACKWARDS = {**MIRROR, "approaching": "receding", "receding": "approaching"}
# A quarter turn clockwise takes up to the right; one the other way, right to up.
TURNED = {"right": {"receding": "left-to-right", "approaching": "right-to-left"}, "left": {"left-to-right": "receding", "right-to-left": "approaching"}}


def read(folder, name, start, end):
    """Frames (H, W, 3) u8 and their frame rate."""
    frames = []
    with av.open(str(folder / name)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 30)
        first = None
        for frame in container.decode(stream):
            if frame.time is None:
                continue
            first = frame.time if first is None else first
            if frame.time - first > end:
                break
            if frame.time - first >= start:
                image = frame.to_ndarray(format="rgb24")
                scale = 360 / max(image.shape[0], 1)
                if scale < 1:
                    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                frames.append(image)
    return frames, rate


def lengthen(frames, rate, seconds):
    """Plays back and forth until long enough: a still scene has no direction."""
    out = list(frames)
    while len(out) < seconds * rate:
        out += frames[::-1] if (len(out) // len(frames)) % 2 else frames
    return out[: int(seconds * rate)]


def window(frames, centre_of, share):
    """A part of each picture, `share` of its size, around centre_of(i) in 0..1."""
    out = []
    h, w = frames[0].shape[:2]
    ch, cw = int(h * share), int(w * share)
    for i, frame in enumerate(frames):
        x, y = centre_of(i)
        matrix = np.float32([[1, 0, cw / 2 - x * w], [0, 1, ch / 2 - y * h]])
        out.append(cv2.warpAffine(frame, matrix, (cw, ch), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return out


def pan(frames, rate, rng):
    speed, sign = rng.uniform(0.06, 0.25), rng.choice([-1, 1])
    share = 0.55
    room = (1 - share) / 2

    def centre(i):
        # There and back, at an even pace.
        path = (i / rate * speed) % (4 * room)
        x = path - room if path < 2 * room else 3 * room - path
        return 0.5 + sign * x, 0.5
    return window(frames, centre, share)


def shake(frames, rate, rng):
    amplitude = rng.uniform(0.012, 0.04)
    hertz, phase = rng.uniform(2, 9, 4), rng.uniform(0, 6.3, 4)

    def centre(i):
        s = np.sin(2 * np.pi * hertz * i / rate + phase)
        return 0.5 + amplitude * (s[0] + s[1]) / 2, 0.5 + amplitude * (s[2] + s[3]) / 2
    return window(frames, centre, 0.85)


def blur(frames, rate, rng):
    sigma = rng.uniform(0.016, 0.05) * frames[0].shape[1]
    return [cv2.GaussianBlur(f, (0, 0), sigma) for f in frames]


def cover(frames, rate, rng):
    h, w = frames[0].shape[:2]
    kind = rng.integers(0, 3)
    if kind == 0:
        plain = np.full((h, w, 3), rng.integers(0, 40), np.float32)
    elif kind == 1:
        plain = np.full((h, w, 3), 1.0, np.float32) * rng.integers(20, 200, 3)
    else:
        # A hand or a cloth: brighter towards where light leaks in.
        shade = cv2.resize(rng.uniform(0.7, 1.25, (2, 3)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
        plain = shade[..., None] * rng.integers(15, 120, 3)
    opacity = rng.uniform(0.97, 1.0)
    return [np.clip(f * (1 - opacity) + plain * opacity + rng.normal(0, 2, f.shape), 0, 255).astype(np.uint8) for f in frames]


def light(frames, rate, rng):
    kind = rng.integers(0, 2)
    period, phase = rng.uniform(1.5, 3.0), rng.uniform(0, 1)
    low = rng.uniform(0.3, 0.6)
    out = []
    for i, f in enumerate(frames):
        t = i / rate / period + phase
        # A lamp switched off and on, or slow swings.
        gain = (low if t % 1.0 < 0.5 else 1.0) if kind == 0 else 1 - (1 - low) * (0.5 + 0.5 * np.sin(2 * np.pi * t))
        out.append(np.clip(f * gain, 0, 255).astype(np.uint8))
    return out


FAULTS = {"camera-pan": pan, "camera-shake": shake, "out-of-focus": blur, "covered": cover, "light-change": light}


def write(folder, name, frames, rate, label, rows):
    path = folder / f"{name}.mkv"
    rate_fraction = Fraction(rate).limit_denominator(1001)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate_fraction, options={"crf": "24", "preset": "veryfast"})
        h, w = frames[0].shape[0] // 2 * 2, frames[0].shape[1] // 2 * 2
        stream.width, stream.height, stream.pix_fmt = w, h, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:h, :w]), format="rgb24")))
        container.mux(stream.encode())
    rows.append((path.name, 0.0, round(len(frames) / rate, 3), label))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (name, start, end) in enumerate(STILL + BUSY):
        frames, rate = read(args.clips, name, start, end)
        stem = f"{number:02}-{Path(name).stem}"
        if number < len(STILL):
            write(args.out, f"{stem}-idle", lengthen(frames, rate, max(len(frames) / rate, 3.0)), rate, "idle", rows)
        for label, fault in FAULTS.items():
            # One draw for each clip and fault, whatever else is in the list.
            rng = np.random.default_rng(zlib.crc32(f"{stem}-{label}".encode()))
            length = min(max(len(frames) / rate, 4.0), 5.0)
            write(args.out, f"{stem}-{label}", fault(lengthen(frames, rate, length), rate, rng), rate, label, rows)
    for number, (name, start, end, label, turn) in enumerate(MOVING):
        frames, rate = read(args.clips, name, start, end)
        stem = f"m{number:02}-{Path(name).stem}"
        views = [("", frames, label)]
        if turn:
            quarter = -1 if turn == "right" else 1
            views.append(("-turned", [np.ascontiguousarray(np.rot90(f, quarter)) for f in frames], TURNED[turn][label]))
        for tag, these, this in views:
            mirrored = [np.ascontiguousarray(f[:, ::-1]) for f in these]
            for suffix, clip, what in [
                ("", these, this), ("-mirror", mirrored, MIRROR.get(this, this)),
                ("-back", these[::-1], BACKWARDS[this]), ("-mirror-back", mirrored[::-1], MIRROR.get(BACKWARDS[this], BACKWARDS[this])),
            ]:
                # The first pictures stand for a second and a half, as idle, so
                # that the first full window ends early in the action.
                hold = [clip[0]] * int(1.6 * rate)
                write(args.out, f"{stem}{tag}{suffix}", hold + clip, rate, what, rows)
                video, _, last, _ = rows.pop()
                held = round(len(hold) / rate, 3)
                rows += [(video, 0.0, held, "idle"), (video, held, last, what)]
    with open(args.out / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "start", "end", "label"])
        writer.writerows(rows)
    print(f"{len(list(args.out.glob('*.mkv')))} clips")


if __name__ == "__main__":
    main()
