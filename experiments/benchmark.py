"""Measures what training and acting cost, on random data of AntMaze's widths; all of it in one run on one machine.

    python -m experiments.benchmark [--members=1,2,4,8,16,32] [--updates=20] [--preset=default] [--output=FILE.json]
    python -m experiments.benchmark --only=populations|parts|acting
    python -m experiments.benchmark --against [--output=FILE.json]

Populations: seconds an update, with the numbers of members and products of large matrices taking turns so that what
else the machine does hits all alike; seconds to compile; what a second population of other seeds and numbers compiles
anew; and memory, by what the compiled program says and by the peak of a process that trains nothing else. Then what the
parts of an update take, how long a policy thinks, and how fast environments are played. Eight minutes on two cores.

--against, which needs PyTorch, times a GTP update beside one of Consistency-AC at K = 2 and of Diffusion-QL at K = 5 as
published code has them, in networks of equal width: ours an update of one of four members that train side by side,
theirs one agent with as many threads as there are cores. Two minutes.
"""

import contextlib
import pathlib
import tempfile

import jax
from absl import flags

from experiments import cli
from experiments.benchmarks import acting, against, parts, populations
from gtp_jax import placement, results
from gtp_jax.cores import available_cores
from gtp_jax.errors import UserError
from gtp_jax.presets import PRESETS

MEMBERS = flags.DEFINE_list("members", ["1", "2", "4", "8", "16", "32"], "Sizes of the populations.")
UPDATES = flags.DEFINE_integer("updates", 20, "Updates of each member in one repetition.", lower_bound=1)
PRESET = flags.DEFINE_enum("preset", "default", list(PRESETS), "Settings of the agents.")
ONLY = flags.DEFINE_enum("only", None, ["populations", "parts", "acting"], "What to measure; if not given, all three.")
AGAINST = flags.DEFINE_bool("against", False, "Compare with plain PyTorch, in place of measuring ours alone.")
OUTPUT = flags.DEFINE_string("output", None, "JSON file for everything measured.")
TABLES = {"populations": populations.table, "parts": parts.table, "acting": acting.table, "against": against.table}


def main(stack: contextlib.ExitStack) -> None:
    counts, config = sorted(set(cli.whole_numbers(MEMBERS))), PRESETS[PRESET.value]
    output = OUTPUT.value and pathlib.Path(OUTPUT.value).expanduser()
    if AGAINST.value and ONLY.value:
        raise UserError(f"--against measures something else than --only={ONLY.value}; give one of them")
    if output and not output.parent.is_dir():  # noticed before the work
        raise UserError(f"--output={output} lies in no folder; make {output.parent} first")
    cache = stack.enter_context(tempfile.TemporaryDirectory())
    populations.prepare(available_cores(), cache)
    measures = {
        "populations": lambda: populations.measure(counts, config, UPDATES.value, cache),
        "parts": lambda: parts.measure(config, UPDATES.value),
        "acting": lambda: acting.measure(config),
        "against": lambda: against.measure(UPDATES.value),
    }
    chosen = ["against"] if AGAINST.value else [ONLY.value] if ONLY.value else ["populations", "parts", "acting"]
    measured = {name: measures[name]() for name in chosen}
    most = max(counts) if "populations" in measured else populations.BASE
    content = {
        **results.provenance(len(placement.spread(most).devices)),
        "preset": "gtp" if AGAINST.value else PRESET.value,
        "widths": populations.WIDTHS,
        **populations.SETTINGS,
        "num_transitions": populations.NUM_TRANSITIONS,
        "updates": UPDATES.value,
        **measured,
    }
    lines = [TABLES[name](each) for name, each in measured.items()]
    if "populations" in measured:
        lines[1:1] = populations.remarks(measured["populations"])
    if output:
        results.write_json(output, content)
    print(f"\n{content['hardware']}, jax {jax.__version__}, {content['date']}: `{content['command']}`\n")
    print("\n\n".join(lines))


if __name__ == "__main__":
    cli.run(main)
