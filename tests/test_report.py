"""A report says what its runs have written, in one file that runs and loads nothing, however hostile their names."""

import base64
import contextlib
import html
import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import types

import pytest
from small_run import DATA, read

from experiments import behaviour, gallery, records, report
from gtp_jax import film, published
from gtp_jax.errors import UserError
from gtp_jax.page import Album


class Page(html.parser.HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def folder(finished, succeed, tmp_path_factory):
    """The report of a finished run; tests only read it."""
    out = tmp_path_factory.mktemp("report") / "out"
    assert str(out / "report.html") in succeed("report", str(finished), f"--out={out}")
    return out


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text())


def write(folders, out):
    """The page of some runs, made in this process."""
    out.mkdir()
    with contextlib.ExitStack() as stack:
        report.write(records.read(records.find([str(folder) for folder in folders])), out, stack)
    return Page((out / "report.html").read_text())


@pytest.fixture
def files(finished, tmp_path):
    """A copy of what a finished run has written of itself, without its checkpoints, for a test to change."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "results.json", "metrics.jsonl"):
        shutil.copy(finished / name, copy)
    return copy


# ------------------------------------------------------------------------------------------------- a finished run


def test_all_there_is_to_say_of_a_run_is_said(page):
    sections = ["Scores", "Over tasks", "By sampling steps", "Learning curves", "What the agents do"]
    sections += ["Advantages and weights", *["Not shown"] * (film.backend() is None), "Runs"]
    assert [attributes["href"] for attributes in page.all("a")][1:] == [
        f"#{s.lower().replace(' ', '-')}" for s in sections
    ]
    assert {attributes["id"] for attributes in page.all("h2")} == {s.lower().replace(" ", "-") for s in sections}


def test_scores_are_those_of_results_json(folder, finished):
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (folder / "tables.md").read_text().splitlines()
    ]
    head, _, *body = rows[2:6]
    members = read(finished / "results.json")["members"]
    for row, k in zip(body, ("1", "2"), strict=True):
        cells = dict(zip(head, row))
        scores = [member["eval"][k]["normalized_score"] for member in members]
        assert (cells["K"], cells["seeds"], cells["episodes"]) == (k, "0, 1", "2 x 2") and cells["data set"] == DATA
        assert cells["normalised score"] == f"{sum(scores) / 2:.1f}"
        assert (cells["best (chosen on test)"] != "") == (k == "2")  # the only one that is evaluated on the way


def test_settings_hardware_versions_and_command_are_there(page, finished):
    results = read(finished / "results.json")
    for text in (results["command"], results["hardware"], results["date"], results["versions"]["jax"], "eval.episodes"):
        assert text in page.text


def test_published_scores_stand_beside_d4rls_own_ant_and_minaris():
    assert (
        published.scores("antmaze/d4rl-large-play")
        == published.scores("antmaze/large-play")
        == {"GTP": 53.5, "GTP-BC": 34.4}
    )


@pytest.mark.parametrize("source, differs", [("d4rl-hdf5", False), ("minari-local", True), ("generated", True)])
def test_scores_compare_with_the_published_ones_on_d4rls_own_files_alone(source, differs):
    run = types.SimpleNamespace(finished=True, members=[{"dataset": {"source": source}}])
    said = report.describe_scores({"Scores": [["K", report.PUBLISHED], ["5", "GTP 53.5"]]}, [run])
    assert ("do not compare" in "".join(said)) == differs


def test_every_picture_is_in_the_page_and_a_file_too(folder, page):
    inside = [base64.b64decode(a["src"].removeprefix("data:image/png;base64,")) for a in page.all("img")]
    assert sorted(inside) == sorted(path.read_bytes() for path in folder.glob("*.png"))
    assert all(picture.startswith(b"\x89PNG") for picture in inside) and all(a["alt"] for a in page.all("img"))
    names = {path.name for path in folder.glob("*.png")}
    assert {"success_rate_K2-pointmaze-umaze.png", "critic_loss-pointmaze-umaze.png"} <= names
    assert any(name.startswith("paths-") for name in names) and any(name.startswith("weight-") for name in names)


def test_latex_has_a_table_for_each_in_markdown(folder):
    markdown, latex = ((folder / f"tables.{kind}").read_text() for kind in ("md", "tex"))
    assert markdown.count("## ") == latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2


def test_the_page_loads_and_runs_nothing(page):
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base", "form"}
    addresses = [value for _, a in page.tags for name, value in a.items() if name in ("href", "src")]
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert not [name for _, a in page.tags for name in a if name.startswith("on") or name == "style"]


BROWSER = shutil.which("chromium")
WIDTHS = (400, 1400)
MEASURE = """
onload = () => { document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(frame => {
  const page = frame.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach(each => each.open = true);
  return { overflow: root.scrollWidth - root.clientWidth, pictures: page.images.length,
    missing: [...page.images].filter(each => !each.naturalWidth).length,
    styled: frame.contentWindow.getComputedStyle(page.querySelector(".scroll")).overflowX }; })) };
"""


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_a_browser_shows_it_whole_on_a_phone_and_on_a_screen(folder, page, tmp_path):
    source = html.escape((folder / "report.html").read_text())
    frames = "".join(f'<iframe srcdoc="{source}" width="{width}" height="800"></iframe>' for width in WIDTHS)
    (tmp_path / "measure.html").write_text(f"<!DOCTYPE html>{frames}<script>{MEASURE}</script>")
    quiet = ["disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update"]
    quiet += ["disable-sync", f"user-data-dir={tmp_path / 'profile'}", "enable-logging=stderr", "v=0"]
    command = [BROWSER, "--headless", "--no-sandbox", *(f"--{flag}" for flag in quiet), "--dump-dom"]
    result = subprocess.run(
        [*command, f"file://{tmp_path / 'measure.html'}"], capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in result.stderr, result.stderr
    measured = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", result.stdout)[1]))
    num_pictures = len(page.all("img"))
    assert measured == [{"overflow": 0, "pictures": num_pictures, "missing": 0, "styled": "auto"}] * len(WIDTHS)


# ------------------------------------------------------------------------------------------------- other runs


def test_a_run_that_is_not_finished_has_its_curves(files, tmp_path):
    (files / "results.json").unlink()
    with (files / "metrics.jsonl").open("a") as file:
        file.write('{"step": 700, "actor_lo')  # as it is written
    page = write([files], tmp_path / "out")
    assert "No run is finished yet" in page.text and "its metrics end at update 600" in page.text
    assert "copy holds no checkpoint yet" in page.text and (tmp_path / "out/actor_loss-pointmaze-umaze.png").exists()


def test_several_runs_are_kept_apart_and_a_folder_of_runs_is_taken_for_them(files, tmp_path):
    (tmp_path / "sweep").mkdir()
    for name in ("a", "b"):
        shutil.copytree(files, tmp_path / "sweep" / name)
    page = write([tmp_path / "sweep"], tmp_path / "out")
    assert "Report on 2 runs" in page.text and "P(X > Y)" in page.text
    assert "default (a) > default (b)" in (tmp_path / "out/tables.md").read_text()


def test_agents_are_compared_on_the_tasks_that_they_share(files, tmp_path):
    """One run has another task too, which must not keep its agent from being compared with that of the other run."""
    for name, task in (("a", "pointmaze/umaze"), ("b", "pointmaze/large"), ("c", "pointmaze/umaze")):
        shutil.copytree(files, tmp_path / "runs" / name)
        content = read(files / "results.json")
        for member in content["members"]:
            member |= {"task": task, "agent": "ours" if name != "c" else "theirs"}
        for times in (content["timing"]["action_ms"], content["timing"]["updates_per_s"]):
            times |= {"ours": times["default"], "theirs": times["default"]}
        (tmp_path / "runs" / name / "results.json").write_text(json.dumps(content))
    write([tmp_path / "runs"], tmp_path / "out")
    sections = (tmp_path / "out/tables.md").read_text().split("## ")
    means = {
        s.split("\n")[0]: re.findall(r"^\| (ours|theirs) ", s, re.M) for s in sections if s.startswith("Interquartile")
    }
    assert means == {
        "Interquartile means, pointmaze/large, pointmaze/umaze at K = 2": ["ours"],
        "Interquartile means, pointmaze/umaze at K = 2": ["ours", "theirs"],
    }


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>|\\input{x}\x1b[2J"


def test_hostile_names_stay_text(files, tmp_path):
    results, settings = read(files / "results.json"), read(files / "config.json")
    results["command"] = results["hardware"] = results["versions"][HOSTILE] = HOSTILE
    for timing in ("action_ms", "updates_per_s"):
        results["timing"][timing][HOSTILE] = results["timing"][timing]["default"]
    for member in results["members"]:
        member |= {"agent": HOSTILE, "dataset": {**member["dataset"], "id": HOSTILE}}
        member["task"] = "../../" + HOSTILE
    settings["agents"][HOSTILE] = settings["agents"]["default"] | {HOSTILE: HOSTILE}
    metrics = [json.loads(line) for line in (files / "metrics.jsonl").read_text().splitlines()]
    lines = [json.dumps({HOSTILE if name == "actor_loss" else name: v for name, v in line.items()}) for line in metrics]
    (files / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    for name, content in (("results", results), ("config", settings)):
        (files / f"{name}.json").write_text(json.dumps(content))
    files = files.rename(tmp_path / "<b onclick=x>$x_$")
    page = write([files], tmp_path / "out")
    assert not page.all("script") and not page.all("b") and HOSTILE.replace("\x1b", "?") in page.text
    assert all(set(attributes) == {"src", "alt"} for attributes in page.all("img"))
    assert "\x1b" not in page.text and {path.parent for path in tmp_path.rglob("*.png")} == {tmp_path / "out"}
    markdown, latex = ((tmp_path / f"out/tables.{kind}").read_text() for kind in ("md", "tex"))
    assert "<script" not in markdown and r"\|" in markdown
    assert "\\input" not in re.sub(r"^%.*$", "", latex, flags=re.MULTILINE)


def test_what_is_missing_is_said(finished, store, tmp_path, monkeypatch):
    """Neither OpenGL nor data; that there are agents is enough for their paths."""
    monkeypatch.setattr(film, "backend", lambda: None)
    monkeypatch.setattr(behaviour, "EPISODES", 1)
    (record,) = records.read([finished])
    with contextlib.ExitStack() as stack:
        acts, judgements, (first, second) = gallery.show(record, stack, Album(tmp_path))
    assert "no OpenGL" in first and f"{DATA} is not where data sets are kept" in second and not judgements
    (picture,) = tmp_path.glob("*.png")
    assert picture.name.startswith("paths-") and len(acts) == 2


# ------------------------------------------------------------------------------------------------- mistakes


def test_a_folder_that_is_not_there_is_one_line(start, tmp_path):
    process = start("report", str(tmp_path / "none"), f"--out={tmp_path / 'out'}")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and len(errors.splitlines()) == 1 and "none is no folder" in errors


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        records.find([str(tmp_path)])


def test_a_link_in_a_run_is_refused(files):
    (files / "metrics.jsonl").unlink()
    (files / "metrics.jsonl").symlink_to("/dev/zero")
    for folder in (files, files.parent):
        with pytest.raises(UserError, match="is a link"):
            records.find([str(folder)])


def without(content, *names):
    *path, last = names
    for name in path:
        content = content[name]
    del content[last]


SPOILT = {
    "nothing": lambda content: content.clear(),
    "no command": lambda content: content.pop("command"),
    "no time of an action": lambda content: content["timing"].pop("action_ms"),
    "another agent's time": lambda content: content["members"][0].update(agent="other"),
    "no score": lambda content: content["members"][0]["eval"].clear(),
    "a text as score": lambda content: content["members"][0]["eval"]["2"].update(success_rate="high"),
    "no number as score": lambda content: content["members"][0]["eval"]["2"].update(success_rate=float("nan")),
    "no episodes": lambda content: content["members"][0]["eval"]["2"].update(episodes=0),
    "a member too many": lambda content: content["members"].append(content["members"][0]),
}


@pytest.mark.parametrize("name", SPOILT)
def test_results_are_refused_with(name, files):
    content = read(files / "results.json")
    SPOILT[name](content)
    (files / "results.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="is not as this version writes it") as refused:
        records.read([files])
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("line", ['{"step": 700, "actor_loss": [1.0]}', '{"actor_loss": [1.0, 2.0]}', "[]", "{"])
def test_metrics_are_refused_with(line, files):
    with (files / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl is not as this version writes it"):
        records.read([files])


# ------------------------------------------------------------------------------------------------- names


def run_of(name, *members):
    entries = [
        {"task": task, "agent": agent, "seed": seed, "hparams": hparams} for task, agent, seed, hparams in members
    ]
    return records.Record(name, pathlib.Path(name), {}, entries, None, [])


def test_an_agent_has_one_name_in_all_runs_whose_tasks_differ():
    runs = [run_of("x", ("a", "iql", 0, {"eta": 1.0})), run_of("y", ("b", "iql", 0, {"eta": 2.0}))]
    assert records.methods(runs) == ["iql", "iql"]


def test_agents_of_a_task_are_called_by_the_numbers_in_which_they_differ():
    runs = [run_of("x", ("a", "iql", 0, {"eta": 1.0})), run_of("y", ("a", "iql", 0, {"eta": 2.0}), ("a", "bc", 0, {}))]
    assert records.methods(runs) == ["iql eta=1", "iql eta=2", "bc"]


def test_seeds_of_one_agent_may_come_from_several_runs():
    assert records.methods([run_of("x", ("a", "bc", 0, {})), run_of("y", ("a", "bc", 1, {}))]) == ["bc", "bc"]


@pytest.mark.parametrize("seed, hparams", [(0, {}), (1, {"hidden_dims": "[16]"})], ids=["seed", "structure"])
def test_agents_that_cannot_be_told_apart_otherwise_are_called_by_their_runs(seed, hparams):
    runs = [run_of("x", ("a", "bc", 0, {})), run_of("y", ("a", "bc", seed, hparams))]
    assert records.methods(runs) == ["bc (x)", "bc (y)"]
