"""A film shows the steps of an episode that it was asked for, wherever there is a simulator."""

import numpy as np
import pytest

from gtp_jax import environments, film
from gtp_jax.tasks import get

TASKS = [
    get(name)
    for name in ("pointmaze/umaze", "gym/hopper-medium", "adroit/pen-human", "ogbench/pointmaze-medium-navigate")
]


@pytest.mark.skipif(film.backend() is None, reason="needs OpenGL")
@pytest.mark.parametrize(
    "task", [*TASKS[:2], *(pytest.param(t, marks=pytest.mark.slow) for t in TASKS[2:])], ids=lambda t: t.name
)
def test_frames_are_those_of_the_steps_asked_for(task):
    actions = np.random.default_rng(0).uniform(-1, 1, (8, task.widths[1]))
    (start, middle, end), _ = film.render(task, 3, actions, [0, 4, 8], film.backend())
    (short_start, short_end), _ = film.render(task, 3, actions[:4], [0, 4], film.backend())
    assert start.shape == middle.shape == end.shape and start.dtype == np.uint8 and np.ptp(start) > 50
    np.testing.assert_array_equal(start, short_start)
    np.testing.assert_array_equal(middle, short_end)
    assert (start != middle).any() and (middle != end).any()


def test_an_opengl_that_does_not_work_is_found_out(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    assert film.backend.__wrapped__() is None


@pytest.mark.parametrize("task", [get("pointmaze/umaze"), get("gym/hopper-medium")], ids=lambda task: task.name)
def test_an_episode_can_be_played_again_from_its_seed_and_actions(task):
    """On which a film relies."""
    actions = np.random.default_rng(0).uniform(-1, 1, (8, task.widths[1]))
    ends = []
    for _ in range(2):
        env = environments.make(task)
        env.reset(seed=3)
        ends.append([env.step(action)[0] for action in actions])
    np.testing.assert_array_equal(*ends)
