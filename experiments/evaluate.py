"""Evaluates the latest checkpoint of a run, with as many episodes and values of K as asked for.

    python -m experiments.evaluate --workdir=DIR [--sampling_steps=1,2,5,10] [--episodes=100] [--seed=N] [--pictures]

Prints a table and writes DIR/evaluation.json, laid out like results.json. With --pictures (and matplotlib) it also
draws the paths walked at the last K, DIR/paths-TASK.png. Needs no data set.
"""

import contextlib
import importlib.util
import json
import pathlib

import jax
import ml_collections
import numpy as np
from absl import flags

from experiments import cli
from gtp_jax import checkpoint, population, results, tasks
from gtp_jax import config as gtp_config
from gtp_jax.cores import available_cores
from gtp_jax.errors import UserError
from gtp_jax.evaluation import Evaluator, summarize

WORKDIR = flags.DEFINE_string("workdir", None, "The run's working directory.")
SAMPLING_STEPS = flags.DEFINE_list("sampling_steps", ["1", "2", "5", "10"], "Values of K.")
EPISODES = flags.DEFINE_integer("episodes", 100, "Episodes per member and K.", lower_bound=1)
SEED = flags.DEFINE_integer(
    "seed", None, "Of the environments; that of the run's own evaluation if not given.", lower_bound=0
)
PICTURES = flags.DEFINE_bool("pictures", False, "Draw the paths walked at the last K.")


def draw_pictures(workdir: pathlib.Path, evaluator: Evaluator, played, steps: list[np.ndarray]) -> None:
    """One picture a task from the observations (M, E, O) of every step, whose first two numbers are x and y."""
    from gtp_jax import pictures  # needs matplotlib, which nothing else does

    xy = np.stack(steps)[..., :2]
    for task in dict.fromkeys(evaluator.tasks):
        shown = [
            (xy[: n + 1, i, e], ok)
            for i, episodes in enumerate(played)
            if evaluator.tasks[i] is task
            for e, (n, ok) in enumerate(zip(episodes.lengths, episodes.successes))
        ]
        file = workdir / f"paths-{task.name.replace('/', '-')}.png"
        pictures.draw_paths(task, *zip(*shown), file)
        print(f"drew {file}")


def main(stack: contextlib.ExitStack) -> None:
    if WORKDIR.value is None:
        raise UserError("--workdir is needed, the directory of a run")
    if PICTURES.value and not importlib.util.find_spec("matplotlib"):
        raise UserError("--pictures needs matplotlib: pip install matplotlib")
    if not SAMPLING_STEPS.value or not all(k.isdecimal() and int(k) > 0 for k in SAMPLING_STEPS.value):
        raise UserError(f"--sampling_steps={','.join(SAMPLING_STEPS.value)} must be whole numbers of at least 1")
    workdir = pathlib.Path(WORKDIR.value).expanduser().absolute()
    try:
        config = ml_collections.ConfigDict(json.loads((workdir / "config.json").read_text()))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{workdir} does not hold a run: {error}") from error
    checkpoints = stack.enter_context(contextlib.closing(checkpoint.Checkpoints(workdir)))
    if checkpoints.latest_step is None:
        raise UserError(f"{workdir} holds no checkpoint yet")

    try:
        agent_config, members = gtp_config.agent_config(config), gtp_config.members(config)
    except (AttributeError, TypeError) as error:
        raise UserError(f"{workdir} holds a run of another version of gtp_jax: {error}") from error
    seed = config.eval.seed if SEED.value is None else SEED.value
    mesh = population.member_mesh(len(members))
    evaluator = Evaluator([tasks.get(member.task) for member in members], EPISODES.value, seed)
    stack.callback(evaluator.close)
    width = (len(members), evaluator.observation_dim)
    like = population.init(
        members,
        np.zeros(width, np.float32),
        np.ones(width, np.float32),
        evaluator.action_dim,
        config=agent_config,
        num_steps=config.num_steps,
        mesh=mesh,
    )
    states, progress = checkpoints.restore(like), checkpoints.progress()
    act = population.actor(action_dim=evaluator.action_dim, config=agent_config, mesh=mesh)
    print(f"{len(members)} members after {checkpoints.latest_step} of {config.num_steps} updates")

    scores = {}
    for k in map(int, SAMPLING_STEPS.value):
        steps = []

        def recorded_act(obs, t, k=k, steps=steps):
            if PICTURES.value:
                steps.append(obs.copy())
            return act(states, obs, t, num_steps=k)

        played = evaluator(recorded_act, f"evaluation, K={k}")
        scores[k] = [summarize(task, episodes) for task, episodes in zip(evaluator.tasks, played, strict=True)]
    entries = results.member_entries(
        members, states, eta=agent_config.eta, datasets=progress["datasets"], scores=scores
    )
    print(f"\n{results.table(entries)}\n")
    content = {"step": checkpoints.latest_step, **results.provenance(mesh.size), "members": entries}
    try:
        results.write_json(workdir / "evaluation.json", content)
        print(f"written to {workdir / 'evaluation.json'}")
        if PICTURES.value:
            draw_pictures(workdir, evaluator, played, steps)
    except OSError as error:
        raise UserError(f"working directory {workdir} cannot be written: {error}") from error


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", available_cores())
    cli.run(main)
