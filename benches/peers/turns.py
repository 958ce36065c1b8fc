"""Runtimes measured in turns: each gets a few steps, then the next one, round by round.

A machine's speed drifts (heat, neighbours); what is measured in the same round has
seen the same machine, so ratios hold where single times do not.
"""

import json
import os
import pathlib
import statistics
import subprocess
import tempfile

# How long a turn is to last, in milliseconds.
TURN = 300.0


class Worker:
    """A runtime in a process of its own, idle but for its turns.

    `unit`: steps come in multiples of it. A stream through a network with strides in
    time does not do the same work at each step, but in each 8.
    """

    def __init__(self, name, command, cpus, environment=None, unit=1):
        self.name, self.unit, self.steps = name, unit, unit
        self.error, self.turns, self.cpu = None, [], []
        self.said = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True,
            env={**os.environ, **(environment or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        self.ready = self._read()

    def _read(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.said.seek(0)
        said = self.said.read().strip().splitlines()
        self.error = said[-1] if said else f"it ended with {self.process.returncode}"
        return None

    def ask(self, command):
        """Its answer; none where it failed, now or before."""
        if self.error:
            return None
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # reading tells why
        return self._read()

    def settle(self):
        """Finds out how many steps make a turn."""
        answer = self.ask(f"run {self.unit}")
        if answer:
            units = round(TURN / sum(answer["ms"]))
            self.steps = self.unit * max(1, units)

    def turn(self):
        self.ask(f"run {self.unit}")  # brings the caches back
        before = self.cpu_ms()
        answer = self.ask(f"run {self.steps}")
        if answer:
            self.cpu.append((self.cpu_ms() - before) / self.steps)
            # The median: a step that was interrupted says nothing of the runtime.
            ms, unit = answer["ms"], self.unit
            units = [statistics.mean(ms[at : at + unit]) for at in range(0, len(ms), unit)]
            self.turns.append(statistics.median(units))

    def cpu_ms(self):
        """Processor time so far of the threads that it has (proc(5), schedstat): time
        that others had the core is not in it. 0 where the kernel does not count."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(file.read_text().split()[0]) for file in threads) / 1e6

    def result(self):
        if self.error:
            return {"error": self.error}
        return {
            "ms": statistics.median(self.turns),
            "turns": self.turns,
            "cpu_ms": statistics.median(self.cpu),
            "cpu_turns": self.cpu,
            "ready": self.ready,
        }

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(timeout=60)
        self.said.close()


def measure(workers, rounds, say):
    """Gives every worker its turns."""
    for worker in workers:
        worker.settle()
    for at in range(rounds):
        # Who goes first changes, so that being first is nobody's advantage.
        first = at % len(workers)
        for worker in workers[first:] + workers[:first]:
            worker.turn()
        times = (f"{w.name} {w.turns[-1]:.2f}" for w in workers if not w.error)
        say(f"  round {at + 1} of {rounds}, ms: {', '.join(times)}")


def ratio(result, other):
    """How much longer than the other: the median of the rounds' ratios, the ratio of the
    medians, and the median of the rounds' ratios of processor time, where that is known.
    None where either was not measured."""
    if not result or not other or "ms" not in result or "ms" not in other:
        return None
    def of_rounds(key):
        return statistics.median(a / b for a, b in zip(result[key], other[key]))

    return {
        "of_rounds": of_rounds("turns"),
        "of_medians": result["ms"] / other["ms"],
        "of_cpu": of_rounds("cpu_turns") if all(other["cpu_turns"]) else None,
    }
