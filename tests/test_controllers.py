"""The ant's frame has the symmetries it claims, in the real simulator, and the shipped controller walks."""

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.mujoco.ant_v4 import AntEnv

from gtp_jax.data import controllers

ANKLE_SIGNS = np.array([1.0, -1.0, -1.0, 1.0])  # from ant.xml: legs 2 and 3 have negative ranges
OFFSET = np.array([3.0, 1.0])


@pytest.fixture(scope="module")
def env():
    with gymnasium.logger.warnings.catch_warnings():
        ant = AntEnv(exclude_current_positions_from_observation=False)
    ant.reset(seed=0)
    yield ant
    ant.close()


@pytest.fixture
def pose(env):
    """A tilted, twisted, moving ant: qpos (15,), qvel (14,)."""
    rng = np.random.default_rng(0)
    qpos = env.init_qpos.copy()
    qpos[2:7] = [0.7, 0.9, 0.1, -0.15, 0.3]
    qpos[3:7] /= np.linalg.norm(qpos[3:7])
    qpos[7:] += rng.uniform(-0.2, 0.2, 8)
    return qpos, 0.5 * rng.standard_normal(14)


@pytest.fixture
def actions():
    return np.random.default_rng(1).uniform(-1.0, 1.0, (6, 8))


def simulate(env, qpos, qvel, offset, actions, quadrant):
    """Features (T, 28) of a real simulation under virtual actions (T, 8)."""
    env.set_state(qpos, qvel)
    features = []
    for action in actions:
        observation = np.concatenate([env.data.qpos[2:], env.data.qvel])
        features.append(controllers.ant_features(observation, offset, quadrant))
        env.do_simulation(controllers.to_actuators(action, quadrant), 5)
    return np.array(features)


def quarter_matrix(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def turn_quaternion(angle):
    return np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])


def multiply(p, q):
    w, vector = p[0] * q[0] - p[1:] @ q[1:], p[0] * q[1:] + q[0] * p[1:] + np.cross(p[1:], q[1:])
    return np.concatenate([[w], vector])


@pytest.mark.parametrize("angle", [np.pi / 2, np.pi, 0.7])
def test_turning_the_world_changes_nothing(env, pose, actions, angle):
    qpos, qvel = pose
    expected = simulate(env, qpos, qvel, OFFSET, actions, 0)
    turned_qpos, turned_qvel, turn = qpos.copy(), qvel.copy(), quarter_matrix(angle)
    turned_qpos[3:7] = multiply(turn_quaternion(angle), qpos[3:7])
    turned_qvel[:2] = turn @ qvel[:2]
    actual = simulate(env, turned_qpos, turned_qvel, turn @ OFFSET, actions, 0)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("quadrant", range(4))
def test_a_body_turned_by_quarters_is_the_same_ant_with_other_leg_numbers(env, pose, actions, quadrant):
    qpos, qvel = pose
    expected = simulate(env, qpos, qvel, OFFSET, actions, 0)
    turned_qpos, turned_qvel, angle = qpos.copy(), qvel.copy(), quadrant * np.pi / 2
    turned_qpos[3:7] = multiply(qpos[3:7], turn_quaternion(-angle))
    turned_qvel[3:5] = quarter_matrix(angle) @ qvel[3:5]
    for leg in range(4):
        other = (leg + quadrant) % 4
        sign = ANKLE_SIGNS[leg] * ANKLE_SIGNS[other]
        turned_qpos[7 + 2 * other : 9 + 2 * other] = qpos[7 + 2 * leg : 9 + 2 * leg] * [1.0, sign]
        turned_qvel[6 + 2 * other : 8 + 2 * other] = qvel[6 + 2 * leg : 8 + 2 * leg] * [1.0, sign]
    actual = simulate(env, turned_qpos, turned_qvel, OFFSET, actions, quadrant)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_the_mirror_image_of_a_walk_is_a_walk_of_the_mirror_image(env, pose, actions):
    qpos, qvel = pose
    (feature_columns, feature_signs), (action_columns, action_signs) = (
        controllers.FEATURE_MIRROR,
        controllers.ACTION_MIRROR,
    )
    expected = simulate(env, qpos, qvel, OFFSET, actions, 0)[:, feature_columns] * feature_signs
    mirrored_qpos, mirrored_qvel = qpos.copy(), qvel.copy()
    mirrored_qpos[[4, 6]] *= -1.0
    mirrored_qvel[[1, 3, 5]] *= -1.0
    for leg in range(4):
        other = 3 - leg
        sign = ANKLE_SIGNS[leg] * ANKLE_SIGNS[other]
        mirrored_qpos[7 + 2 * other : 9 + 2 * other] = qpos[7 + 2 * leg : 9 + 2 * leg] * [-1.0, sign]
        mirrored_qvel[6 + 2 * other : 8 + 2 * other] = qvel[6 + 2 * leg : 8 + 2 * leg] * [-1.0, sign]
    mirrored_actions = actions[:, action_columns] * action_signs
    actual = simulate(env, mirrored_qpos, mirrored_qvel, OFFSET * [1, -1], mirrored_actions, 0)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_features_of_a_batch_are_those_of_its_rows():
    rng = np.random.default_rng(2)
    observation, offset = rng.standard_normal((5, 27)), rng.standard_normal((5, 2))
    quadrant = controllers.choose_quadrant(observation, offset)
    batch = controllers.ant_features(observation, offset, quadrant)
    rows = [controllers.ant_features(*row) for row in zip(observation, offset, quadrant)]
    assert batch.shape == (5, 28) and batch.dtype == np.float32
    np.testing.assert_array_equal(batch, rows)


def test_features_stay_within_five():
    observation = 100.0 * np.random.default_rng(3).standard_normal((50, 27))
    features = controllers.ant_features(observation, np.ones((50, 2)), np.zeros(50, int))
    assert np.abs(features).max() <= 5.0


def standing(yaw=0.0):
    observation = np.zeros(27)
    observation[[1, 4]] = np.cos(yaw / 2), np.sin(yaw / 2)
    return observation


def towards(degrees):
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


@pytest.mark.parametrize("yaw", [0.0, 1.0, -3.0])
def test_the_leading_side_is_the_nearest_one(yaw):
    for degrees in range(-170, 180, 20):
        quadrant = controllers.choose_quadrant(standing(yaw), towards(degrees + np.degrees(yaw)))
        assert abs((degrees - 90 * quadrant + 180) % 360 - 180) <= 45


def test_the_leading_side_is_kept_until_sixty_degrees():
    for previous in range(4):
        assert controllers.choose_quadrant(standing(), towards(90 * previous + 59), previous) == previous
        assert controllers.choose_quadrant(standing(), towards(90 * previous - 59), previous) == previous
        assert controllers.choose_quadrant(standing(), towards(90 * previous + 61), previous) == (previous + 1) % 4


def test_upright_means_the_torso_axis_points_up():
    roll = lambda angle: np.concatenate([[0.5, np.cos(angle / 2), np.sin(angle / 2)], np.zeros(24)])  # noqa: E731
    assert [bool(controllers.is_upright(roll(np.radians(angle)))) for angle in (0, 80, 100, 180)] == [1, 1, 0, 0]


@pytest.mark.parametrize("path", [controllers.ANT_WEIGHTS, controllers.D4RL_ANT_WEIGHTS], ids=lambda path: path.stem)
def test_shipped_weights_are_small_finite_and_hold_no_objects(path):
    weights = controllers.load_ant_weights(path)
    assert path.stat().st_size < 100_000
    assert sorted(weights) == ["b0", "b1", "b2", "w0", "w1", "w2"]
    assert weights["w0"].shape[0] == 28 and weights["w2"].shape[1] == 8
    assert all(np.isfinite(value).all() and value.dtype == np.float32 for value in weights.values())


def test_the_ant_controller_forgets_the_episode_before():
    observation = standing()
    controller = controllers.AntController(controllers.load_ant_weights(controllers.ANT_WEIGHTS))
    first = controller(observation, towards(50))
    controller(observation, towards(0))
    assert not np.array_equal(controller(observation, towards(50)), first)  # the side of 0 degrees still leads
    controller.reset()
    np.testing.assert_array_equal(controller(observation, towards(50)), first)


def test_point_controller_is_clipped_proportional_derivative():
    controller = controllers.PointController()
    action = controller(np.array([9.0, 9.0, 0.1, -0.3]), np.array([0.05, 0.5]))
    np.testing.assert_allclose(action, [0.4, 1.0])
