"""Golden logits as JSON that is short and still readable: one line for each step."""

import json


def of(logits):
    return {str(step): [float(f"{value:.8g}") for value in row] for step, row in logits.items()}


def text(golden):
    out, depth = [], 0
    for line in json.dumps(golden, indent=1).split("\n"):
        bare = line.strip()
        if depth:
            out[-1] += bare if bare.startswith("]") else (" " if not out[-1].endswith("[") else "") + bare
        else:
            out.append(line)
        depth += bare.count("[") - bare.count("]")
    return "\n".join(out) + "\n"
