"""Scores as published, to stand beside one's own.

D4RL-normalised scores of GTP with K = 5, means over five seeds, on D4RL's own data, in its environments (Feng et al.,
2026, arXiv 2510.11499). Scores on other data, generated ones among them, do not compare with them.
"""

SOURCE = "Feng et al. (2026), arXiv 2510.11499: K = 5, five seeds, D4RL's data and environments (Gym's v2)"

GTP = {
    "antmaze/umaze": 100.0,
    "antmaze/umaze-diverse": 81.9,
    "antmaze/medium-play": 83.3,
    "antmaze/medium-diverse": 94.2,
    "antmaze/large-play": 53.5,
    "antmaze/large-diverse": 71.0,
    "gym/halfcheetah-medium": 53.9,
    "gym/halfcheetah-medium-replay": 50.8,
    "gym/hopper-medium-expert": 112.2,
}
GTP_BC = {
    "antmaze/medium-diverse": 85.0,
    "antmaze/large-play": 34.4,
    "antmaze/large-diverse": 40.8,
    "gym/halfcheetah-medium": 48.6,
    "gym/halfcheetah-medium-replay": 46.3,
    "gym/hopper-medium": 83.7,
    "gym/hopper-medium-replay": 100.5,
}


def scores(task: str) -> dict[str, float]:
    """Those there are for a task, by system."""
    task = task.replace("antmaze/d4rl-", "antmaze/")  # D4RL's own files and ant
    return {name: table[task] for name, table in {"GTP": GTP, "GTP-BC": GTP_BC}.items() if task in table}
