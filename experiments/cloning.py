"""How near a policy's actions are to those of data that it was not trained on."""

import dataclasses
import functools
import re
from collections.abc import Sequence

import jax
import numpy as np

from experiments import restored
from gtp_jax import agent, energy, tasks
from gtp_jax.data import sources
from gtp_jax.errors import UserError
from gtp_jax.population import Program

TRANSITIONS, DRAWS = 10_000, 8
MADE = 50_000  # transitions, where held-out data are made, so that they are of many episodes
_SIZE, _SIZE_AND_SEED = re.compile(r"-\d+(?=-seed)"), re.compile(r"-\d+-seed\d+")  # in the names of made data


def held_out(name: str, dataset: str, seed: int, known: Sequence[dict]) -> sources.Dataset:
    """Data of a task that no run was trained on.

    Args:
        dataset, seed: as of `sources.resolve`.
        known: `Dataset.record` of what each run was trained on.

    Raises:
        UserError: they cannot be had, or a run was trained on them, or made data are not like those of a run.
    """
    task, size = tasks.get(name), {"num_transitions": MADE, "seed": seed}
    if dataset == "generated":  # these are refused before they are made
        _check_held_out(sources.generated_id(task, **size), known, alike=True)
        return sources.resolve(task, dataset, **size)
    found = sources.resolve(task, dataset, **size)
    _check_held_out(found.id, known, alike=False)
    return found


def _check_held_out(name: str, known: Sequence[dict], *, alike: bool) -> None:
    for trained in (record["id"] for record in known):
        # Episodes go by the seed alone, so data of one seed begin with those of a smaller set.
        if _SIZE.sub("", trained) == _SIZE.sub("", name):
            raise UserError(f"a run was trained on {trained}, which shares data with {name}; give another --seed")
        if alike and _SIZE_AND_SEED.sub("", trained) != _SIZE_AND_SEED.sub("", name):
            raise UserError(f"a run was trained on {trained}, which {name} is not like; name others by --dataset")


@functools.cache
def _actor(structure, num_steps: int):
    one_drawn = dataclasses.replace(structure, num_candidates=1)
    return jax.jit(functools.partial(agent.act, config=one_drawn, num_steps=num_steps))


def score(run: restored.Restored, program: Program, row: int, data: sources.Dataset, num_steps: int) -> float:
    """Mean energy score of a member of a program on held-out data, acting with K = num_steps."""
    state = jax.tree.map(lambda leaf: leaf[row], run.states[program.label])
    chosen = np.random.default_rng(0).permutation(len(data.transitions.obs))[:TRANSITIONS]
    obs, actions = data.transitions.obs[chosen], data.transitions.action[chosen]
    obs = np.pad(obs, ((0, 0), (0, len(state.obs_mean) - obs.shape[1])))  # another task of the run may be wider
    drawn = _actor(program.structure, num_steps)(state, jax.random.key(0), np.tile(obs, (DRAWS, 1)))
    drawn = np.asarray(drawn).reshape(DRAWS, len(obs), -1)[..., : actions.shape[1]]
    return float(energy.energy_score(actions, drawn).mean())
