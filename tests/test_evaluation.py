"""Playing many episodes at once changes none of them, and intervals of success rates are Wilson's, or wider."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtp_jax import environments, evaluation
from gtp_jax.data import controllers, planner
from gtp_jax.errors import UserError
from gtp_jax.tasks import get

UMAZE, MEDIUM = get("pointmaze/umaze"), get("pointmaze/medium")


def towards_goal(task, observations):
    """Actions (..., 2) along the shortest path, from positions and velocities (..., 4) alone."""

    def act(observation):
        route = planner.plan(task, task.cell_of(observation[:2]), task.goal, task.goal_xy)
        target = planner.advance(route, 0, observation[:2], 0.3)
        return controllers.PointController()(observation, route[target] - observation[:2])

    return np.apply_along_axis(act, -1, observations)


def play_alone(task, seed, act):
    """(return, success, length) of one episode, played in the plainest way."""
    env = environments.make(task)
    observation, _ = env.reset(seed=seed)
    total = length = over = 0
    while not over:
        observation, reward, terminated, truncated, info = env.step(act(observation))
        total, length, over = total + reward, length + 1, terminated or truncated
    env.close()
    return total, info["success"], length


@pytest.fixture
def evaluate():
    """Plays the tasks' episodes with one function of (observations, time) and returns those of each task."""

    def run(tasks, num_episodes, act, seed=5):
        evaluator = evaluation.Evaluator(tasks, num_episodes, seed)
        played = evaluator(act)
        evaluator.close()
        return played

    return run


def test_batched_episodes_are_those_played_one_at_a_time(evaluate):
    tasks = [UMAZE, MEDIUM]

    def act(observations, _):
        return np.stack([towards_goal(task, each) for task, each in zip(tasks, observations)])

    for task, episodes in zip(tasks, evaluate(tasks, 3, act)):
        alone = [
            play_alone(task, 5 + e, lambda observation, task=task: towards_goal(task, observation)) for e in range(3)
        ]
        assert list(zip(episodes.returns, episodes.successes, episodes.lengths)) == alone


def test_the_walk_to_the_goal_succeeds_and_rest_does_not(evaluate):
    def act(observations, _):
        return np.stack([towards_goal(UMAZE, observations[0]), np.zeros((2, 2))])

    walked, rested = evaluate([UMAZE, UMAZE], 2, act)
    assert walked.successes.all() and (walked.returns == 1).all() and (walked.lengths < UMAZE.horizon).all()
    assert not rested.successes.any() and (rested.returns == 0).all() and (rested.lengths == UMAZE.horizon).all()


def test_mujoco_never_sees_the_nan_of_a_diverged_member(evaluate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file in the working directory
    evaluate([UMAZE], 1, lambda *_: np.full((1, 1, 2), np.nan))
    assert list(tmp_path.iterdir()) == []


def test_finished_episodes_are_not_stepped(evaluate):
    seen = []

    def act(observations, _):
        seen.append(observations.copy())
        return np.stack([towards_goal(UMAZE, observations[0]), np.full((2, 2), 0.01)])

    (length, *_), _ = (episodes.lengths for episodes in evaluate([UMAZE, UMAZE], 2, act))
    path = np.array(seen)[:, 0, 0]
    assert len(seen) == UMAZE.horizon and not (path[length - 1] == path[length]).all()
    assert (path[length:] == path[length]).all()


def test_members_face_the_same_starts_and_episodes_different_ones(evaluate):
    first = []

    def act(observations, time):
        first.append(observations.copy())
        return np.zeros((2, 3, 2))

    evaluate([UMAZE, UMAZE], 3, act)
    np.testing.assert_array_equal(first[0][0], first[0][1])
    assert len(np.unique(first[0][0], axis=0)) == 3


def test_time_counts_the_environments_steps(evaluate):
    times = []
    evaluate([UMAZE], 1, lambda observations, time: times.append(time) or np.zeros((1, 1, 2)))
    assert times == list(range(UMAZE.horizon))


def test_a_chunk_is_carried_out_before_the_next_observation_is_asked_about():
    """Of two tasks with actions of different widths, each member's own numbers in order."""
    tasks, times, log = [UMAZE, get("antmaze/umaze")], [], []

    def act(observations, time):
        times.append(time)
        return (np.arange(24) + 24 * len(times)) / 1e6 * np.ones((2, 1, 1))

    evaluator = evaluation.Evaluator(tasks, 1)
    evaluator(act, chunk=3, log=log)
    evaluator.close()
    assert times == list(range(0, max(task.horizon for task in tasks), 3))
    taken = np.stack([actions for _, actions in log])[:6, :, 0] * 1e6
    np.testing.assert_allclose(taken[:, 0, :2].ravel(), [*range(24, 30), *range(48, 54)], rtol=1e-5)
    np.testing.assert_allclose(taken[:, 1].ravel(), range(24, 72), rtol=1e-5)


def test_an_evaluator_plays_the_same_episodes_again():
    evaluator = evaluation.Evaluator([UMAZE], 2, seed=0)
    starts = []
    for _ in range(2):
        evaluator(
            lambda observations, time: (starts.append(observations.copy()) if not time else None) or np.zeros((1, 2, 2))
        )
    evaluator.close()
    np.testing.assert_array_equal(*starts)


def test_a_summary_is_what_the_episodes_came_to():
    episodes = evaluation.Episodes(
        returns=np.array([1.0, 0.0, 1.0, 1.0]),
        successes=np.array([True, False, True, True]),
        lengths=np.array([10, 300, 20, 30]),
        actions=np.zeros((4, 2)),
        crashed=np.zeros(4, bool),
    )
    assert evaluation.summarize(UMAZE, episodes) == {
        "episodes": 4,
        "return_mean": 0.75,
        "return_std": pytest.approx(3**0.5 / 4),
        "success_rate": 0.75,
        "normalized_score": 75.0,
        "length_mean": 90.0,
    }


@pytest.fixture
def fragile(monkeypatch):
    """Makes the environment of one episode, the second, raise an error at its third step."""
    made, make = [], environments.make

    def make_one(task):
        env = make(task)
        if len(made) == 1:
            step, steps = env.step, []

            def crash(action):
                steps.append(action)
                if len(steps) == 3:
                    raise RuntimeError("the simulation is unstable")
                return step(action)

            env.step = crash
        made.append(env)
        return env

    monkeypatch.setattr(environments, "make", make_one)


def test_an_environment_that_crashes_is_counted_and_the_others_play_on(fragile, evaluate):
    act = lambda observations, _: towards_goal(UMAZE, observations)  # noqa: E731
    (episodes,) = evaluate([UMAZE], 3, act)
    assert episodes.crashed.tolist() == [False, True, False]
    assert episodes.successes[[0, 2]].all() and episodes.lengths[1] == 2
    summary = evaluation.summarize(UMAZE, episodes)
    assert (summary["episodes"], summary["crashed"], summary["success_rate"]) == (2, 1, 1.0)


def test_an_environment_that_crashed_is_replaced_for_the_next_time(fragile):
    evaluator = evaluation.Evaluator([UMAZE], 2)
    act = lambda observations, _: towards_goal(UMAZE, observations)  # noqa: E731
    crashed = [evaluator(act)[0].crashed.any() for _ in range(2)]
    evaluator.close()
    assert crashed == [True, False]


def test_a_task_whose_episodes_all_crash_is_not_scored():
    none = np.zeros(2)
    with pytest.raises(UserError, match="every episode of pointmaze/umaze crashed"):
        evaluation.summarize(UMAZE, evaluation.Episodes(none, none, none, none, np.ones(2, bool)))


# ------------------------------------------------------------------------------------------------- intervals

rates = st.lists(st.floats(0, 1), min_size=1, max_size=10)


@pytest.mark.parametrize(
    "successes, episodes, low, high",
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons_as_newcombe_1998_tabulates_it(successes, episodes, low, high):
    interval = evaluation.success_interval([successes / episodes], episodes)
    np.testing.assert_allclose(interval, (low, high), atol=5e-5)


def test_seeds_that_agree_count_as_one_large_sample():
    pooled = evaluation.success_interval([0.5], 400)
    assert evaluation.success_interval([0.5] * 4, 100) == pytest.approx(pooled)


def test_seeds_that_differ_a_little_more_than_chance_widen_the_interval_a_little():
    """Of 100 episodes at 0.5 a seed's rate has a standard deviation of 0.05."""
    (below, above) = (evaluation.success_interval([0.5 - d, 0.5 + d], 100) for d in 0.05 / 2**0.5 * np.array([1, 1.01]))
    assert 0 < (above[1] - above[0]) / (below[1] - below[0]) - 1 < 0.1


def test_seeds_that_disagree_widen_the_interval():
    agreeing, disagreeing = (evaluation.success_interval(r, 100) for r in ([0.5] * 4, [0.1, 0.9, 0.2, 0.8]))
    assert disagreeing[0] < agreeing[0] - 0.1 and disagreeing[1] > agreeing[1] + 0.1


@pytest.mark.parametrize("seeds", [4, 10])
@pytest.mark.parametrize("spread", [(2, 2), (10, 10), (30, 5)])
def test_the_interval_holds_the_true_mean_in_about_95_of_100_runs_whose_seeds_differ(seeds, spread):
    random, runs = np.random.default_rng(0), 2000
    rates = random.binomial(100, random.beta(*spread, size=(runs, seeds))) / 100
    low, high = np.transpose([evaluation.success_interval(each, 100) for each in rates])
    mean = spread[0] / sum(spread)
    assert 0.9 < np.mean((low <= mean) & (mean <= high)) < 0.975


@given(rates, st.integers(1, 1000))
def test_the_interval_holds_the_rate_and_lies_between_0_and_1(rates, episodes):
    low, high = evaluation.success_interval(rates, episodes)
    assert 0 <= low <= np.mean(rates) + 1e-9 and np.mean(rates) - 1e-9 <= high <= 1


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 5))
def test_more_episodes_never_widen_the_interval(successes, failures, factor):
    episodes = successes + failures
    few, many = (evaluation.success_interval([successes / episodes], n) for n in (episodes, factor * episodes))
    assert many[1] - many[0] <= few[1] - few[0] + 1e-12


def test_the_interval_of_a_mean_is_students():
    """Of 1, 2 and 3: 2 +- 4.303 / sqrt(3), by the table of t with 2 degrees of freedom."""
    assert evaluation.mean_interval([1.0, 2.0, 3.0]) == pytest.approx(
        (2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3
    )
