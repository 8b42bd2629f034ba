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


def simulate(env, qpos, qvel, offset, actions):
    """Features (T, 30) of a real simulation under the controller's actions (T, 8)."""
    env.set_state(qpos, qvel)
    features = []
    for action in actions:
        observation = np.concatenate([env.data.qpos[2:], env.data.qvel])
        features.append(controllers.ant_features(observation, offset))
        env.do_simulation(controllers.to_actuators(action), 5)
    return np.array(features)


def quarter_matrix(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def turn_quaternion(angle):
    return np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])


def multiply(p, q):
    w, vector = p[0] * q[0] - p[1:] @ q[1:], p[0] * q[1:] + q[0] * p[1:] + np.cross(p[1:], q[1:])
    return np.concatenate([[w], vector])


def turned(qpos, qvel, angle):
    """The same ant in a world that is turned."""
    qpos, qvel = qpos.copy(), qvel.copy()
    qpos[3:7] = multiply(turn_quaternion(angle), qpos[3:7])
    qvel[:2] = quarter_matrix(angle) @ qvel[:2]
    return qpos, qvel


@pytest.mark.parametrize("angle", [np.pi / 2, np.pi, 0.7])
def test_turning_the_world_changes_nothing_but_the_yaw(env, pose, actions, angle):
    expected = simulate(env, *pose, OFFSET, actions)
    actual = simulate(env, *turned(*pose, angle), quarter_matrix(angle) @ OFFSET, actions)
    np.testing.assert_allclose(actual[:, :28], expected[:, :28], atol=1e-5)
    yaw = np.arctan2(expected[:, 28], expected[:, 29]) + angle
    np.testing.assert_allclose(actual[:, 28:], np.stack([np.sin(yaw), np.cos(yaw)], axis=1), atol=1e-5)


def test_a_walk_seen_from_the_next_leg_is_a_walk(env, pose, actions):
    qpos, qvel = pose
    back = -np.pi / 2
    turned_qpos, turned_qvel = turned(qpos, qvel, back)
    turned_qpos[3:7] = multiply(turned_qpos[3:7], turn_quaternion(-back))
    turned_qvel[3:5] = quarter_matrix(back) @ qvel[3:5]
    for leg in range(4):
        other = (leg + 1) % 4
        sign = ANKLE_SIGNS[leg] * ANKLE_SIGNS[other]
        turned_qpos[7 + 2 * leg : 9 + 2 * leg] = qpos[7 + 2 * other : 9 + 2 * other] * [1.0, sign]
        turned_qvel[6 + 2 * leg : 8 + 2 * leg] = qvel[6 + 2 * other : 8 + 2 * other] * [1.0, sign]
    view = controllers.QUARTER_TURN
    expected = simulate(env, qpos, qvel, OFFSET, actions)[:, view.feature_columns] * view.feature_signs
    seen_actions = actions[:, view.action_columns] * view.action_signs
    actual = simulate(env, turned_qpos, turned_qvel, quarter_matrix(back) @ OFFSET, seen_actions)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_the_mirror_image_of_a_walk_is_a_walk_of_the_mirror_image(env, pose, actions):
    qpos, qvel = pose
    view = controllers.MIRROR
    expected = simulate(env, qpos, qvel, OFFSET, actions)[:, view.feature_columns] * view.feature_signs
    mirrored_qpos, mirrored_qvel = qpos.copy(), qvel.copy()
    mirrored_qpos[[4, 6]] *= -1.0
    mirrored_qvel[[1, 3, 5]] *= -1.0
    for leg in range(4):
        other = 3 - leg
        sign = ANKLE_SIGNS[leg] * ANKLE_SIGNS[other]
        mirrored_qpos[7 + 2 * other : 9 + 2 * other] = qpos[7 + 2 * leg : 9 + 2 * leg] * [-1.0, sign]
        mirrored_qvel[6 + 2 * other : 8 + 2 * other] = qvel[6 + 2 * leg : 8 + 2 * leg] * [-1.0, sign]
    mirrored_actions = actions[:, view.action_columns] * view.action_signs
    actual = simulate(env, mirrored_qpos, mirrored_qvel, OFFSET * [1, -1], mirrored_actions)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_the_symmetries_are_a_group_of_eight():
    def key(symmetry):
        return tuple(part.tobytes() for part in symmetry)

    elements = {key(each) for each in controllers.SYMMETRIES}
    assert len(elements) == 8
    assert {key(a.then(b)) for a in controllers.SYMMETRIES for b in controllers.SYMMETRIES} == elements


def test_features_of_a_batch_are_those_of_its_rows():
    rng = np.random.default_rng(2)
    observation, offset = rng.standard_normal((5, 27)), rng.standard_normal((5, 2))
    batch = controllers.ant_features(observation, offset)
    rows = [controllers.ant_features(*row) for row in zip(observation, offset)]
    assert batch.shape == (5, controllers.NUM_FEATURES) and batch.dtype == np.float32
    np.testing.assert_array_equal(batch, rows)


def test_features_stay_within_five():
    observation = 100.0 * np.random.default_rng(3).standard_normal((50, 27))
    assert np.abs(controllers.ant_features(observation, np.ones((50, 2)))).max() <= 5.0


def test_upright_means_the_torso_axis_points_up():
    roll = lambda angle: np.concatenate([[0.5, np.cos(angle / 2), np.sin(angle / 2)], np.zeros(24)])  # noqa: E731
    assert [bool(controllers.is_upright(roll(np.radians(angle)))) for angle in (0, 80, 100, 180)] == [1, 1, 0, 0]


@pytest.mark.parametrize("path", [controllers.ANT_WEIGHTS, controllers.D4RL_ANT_WEIGHTS], ids=lambda path: path.stem)
def test_shipped_weights_are_small_finite_and_hold_no_objects(path):
    weights = controllers.load_ant_weights(path)
    assert path.stat().st_size < 100_000
    assert sorted(weights) == ["b0", "b1", "b2", "w0", "w1", "w2"]
    assert weights["w0"].shape[0] == controllers.NUM_FEATURES and weights["w2"].shape[1] == 8
    assert all(np.isfinite(value).all() and value.dtype == np.float32 for value in weights.values())


def test_point_controller_is_clipped_proportional_derivative():
    controller = controllers.PointController()
    action = controller(np.array([9.0, 9.0, 0.1, -0.3]), np.array([0.05, 0.5]))
    np.testing.assert_allclose(action, [0.4, 1.0])
