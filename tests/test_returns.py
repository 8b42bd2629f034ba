"""Tasks scored by returns are what their environments are, and are read as Minari writes them."""

import contextlib

import gymnasium
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from gtp_jax import environments, tasks
from gtp_jax.data import minari_source, recorder
from gtp_jax.errors import UserError
from gtp_jax.tasks import get

KITCHEN = get("kitchen/complete")


@pytest.mark.parametrize("name", [*tasks.returns.TASKS, *tasks.ogbench.TASKS])
def test_a_task_is_as_wide_and_as_long_as_its_environment(name):
    with contextlib.closing(environments.make(get(name))) as env:
        obs, _ = env.reset(seed=0)
        assert (obs.shape, env.action_space.shape) == tuple((width,) for width in get(name).widths)
        assert obs.dtype == np.float32 and env.spec.max_episode_steps == get(name).horizon
        assert env.action_space.low.min() == -1 and env.action_space.high.max() == 1
        *_, info = env.step(np.zeros(env.action_space.shape))
        assert info["success"] is False


@pytest.mark.parametrize("name", ["gym/hopper-medium", "kitchen/mixed", "ogbench/pointmaze-medium-navigate"])
def test_a_seed_fixes_the_start(name):
    with contextlib.closing(environments.make(get(name))) as env:
        first, again, other = (env.reset(seed=seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize("name", ["gym/halfcheetah-medium", "kitchen/mixed", "adroit/door-human"])
def test_scores_are_0_and_100_at_d4rls_references(name):
    task = get(name)
    assert [task.normalized_score(each) for each in task.score_range] == [0.0, 100.0]


def test_an_episode_ends_where_the_pen_is_dropped_and_not_before():
    with contextlib.closing(environments.make(get("adroit/pen-human"))) as env:
        env.reset(seed=0)
        heights, ended, random = [], False, np.random.default_rng(0)
        while not ended:
            _, _, ended, truncated, _ = env.step(random.uniform(-0.5, 0.5, 24))
            heights.append(env.unwrapped.data.body("Object").xpos[2])
            assert not truncated
    assert min(heights[:-1]) >= 0.075 > heights[-1]


def test_a_set_of_adroit_is_read(store):
    task = get("adroit/pen-human")
    recorder.record(task, lambda obs: obs[:, :24].clip(-1, 1), task.minari_id, 1)
    data = minari_source.load(task, task.minari_id)
    assert data.obs.shape == (100, 45) and data.end.sum() == 1 and data.discount.all()


@pytest.fixture
def write(store):
    """Writes observations of two steps as a Minari data set of the task."""

    def run(task, observations, space):
        buffer = EpisodeBuffer(
            observations=observations,
            actions=np.zeros((2, task.widths[1]), np.float32),
            rewards=np.array([0.0, 1.0]),
            terminations=np.array([False, True]),
            truncations=np.zeros(2, bool),
        )
        minari.create_dataset_from_buffers(
            task.minari_id, [buffer], observation_space=space, action_space=gymnasium.spaces.Box(-1, 1, (9,))
        )

    return run


def box(*shape, dtype=np.float64):
    low, high = (0, 255) if dtype == np.uint8 else (-np.inf, np.inf)
    return gymnasium.spaces.Box(low, high, shape, dtype)


@pytest.mark.filterwarnings("ignore")
def test_of_dictionaries_with_goals_the_policy_sees_the_observation(write):
    seen = np.random.default_rng(0).normal(size=(3, 59))
    goals = {"kettle": np.ones((3, 7))}
    observations = {"observation": seen, "achieved_goal": goals, "desired_goal": goals}
    goal = gymnasium.spaces.Dict({"kettle": box(7)})
    write(
        KITCHEN,
        observations,
        gymnasium.spaces.Dict({"observation": box(59), "achieved_goal": goal, "desired_goal": goal}),
    )
    data = minari_source.load(KITCHEN, KITCHEN.minari_id)
    np.testing.assert_array_equal(data.obs, seen[:2].astype(np.float32))
    assert data.reward.tolist() == [0, 1] and data.discount.tolist() == [1, 0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "shape, dtype, message",
    [
        ((60,), np.float64, r"its observation has shape \(60,\), that of kitchen/complete has \(59,\)"),
        ((8, 8, 3), np.uint8, r"its observation has shape \(8, 8, 3\)"),
        ((59,), np.uint8, "its observation holds uint8, not floating-point numbers"),
    ],
    ids=["as wide as D4RL's own files", "pictures", "bytes"],
)
def test_other_observations_are_refused(shape, dtype, message, write):
    space = gymnasium.spaces.Dict({"observation": box(*shape, dtype=dtype)})
    write(KITCHEN, {"observation": np.zeros((3, *shape), dtype)}, space)
    with pytest.raises(UserError, match=message):
        minari_source.load(KITCHEN, KITCHEN.minari_id)
