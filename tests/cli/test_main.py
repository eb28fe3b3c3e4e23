"""The command line: a mistake is one line and exit status 2; help has examples; nothing heavy is loaded."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.records import Lines, Record
from harness.report import publish
from harness.sweep.run import run_sweep


@pytest.fixture
def harness(monkeypatch, capsys, tmp_path):
    """Run a command in a fresh folder; return (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *words])
        with pytest.raises(SystemExit) as left:
            main.main()
        out, err = capsys.readouterr()
        return left.value.code, out, err

    return run


COMMANDS = ["sweep", "table", "figures", "ui", "mirror", "list", "show", "pretrain"]


@pytest.mark.parametrize(
    "command", [*([name] for name in COMMANDS), ["toybox", "sheet"], ["toybox", "check"]]
)
def test_every_help_has_an_example(harness, command):
    status, out, _ = harness(*command, "--help")
    assert status == 0 and f"Example:  harness {' '.join(command)}" in out


def test_without_a_command_there_is_help(harness):
    status, out, _ = harness()
    assert status == 0 and all(name in out for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["swep"], "No such command 'swep'."),
        (["sweep"], "Missing argument 'EXPERIMENT'."),
        (["sweep", "none.yaml"], "none.yaml: no such file"),
        (["sweep", "x.yaml", "--workers", "0"], "Invalid value for '--workers'"),
        (["table", "none"], "unknown experiment 'none'; known: (none)"),
        (["table", "x.yaml"], "runs/x: no records yet; `harness sweep x.yaml` makes them"),
        (["show", "ab"], "no record's key starts with 'ab' in runs/"),
        (["list", "metods"], "unknown list 'metods'; did you mean 'methods'?"),
        (["ui"], "runs/mlflow.db: not there yet"),
        (["pretrain", "unett", "--workdir", "w"], "unknown stage 'unett'; did you mean 'unet'?"),
        (["pretrain", "unet", "--workdir", "w"], "w/renders/named: no shards; run the stage 'renders' first"),
        (
            ["pretrain", "dino", "--workdir", "w", "--export", "o"],
            "w/dino.pt: not there; run the stage 'dino'",
        ),
        (["pretrain", "renders", "--workdir", "x.yaml"], "x.yaml/renders/validation: Not a directory"),
        (["pretrain", "renders", "--workdir", "w", "--part", "2/2"], "--part 2/2: must be I/N with I from 0"),
        (["pretrain", "unet", "--workdir", "w", "--cooldown", "2"], "Invalid value for '--cooldown'"),
        (["pretrain", "unet", "--workdir", "w", "--adopt", "o"], "o/sd/unet/diffusion_pytorch_model.safe"),
        (["pretrain", "decoder", "--workdir", "w", "--adopt", "o"], "unknown stage with weights to adopt"),
        (["pretrain", "--workdir", "w", "--adopt", "o", "--export", "o"], "--adopt and --export: give one"),
        (["toybox", "export", "."], ".: is there already"),
        (["toybox", "sheet", "."], ".: is a folder"),
        (["toybox", "sheet", "x", "--samples", "--subjects"], "--subjects and --samples: a sheet shows one"),
        (["toybox", "check", "dinno", "--json"], "unknown check 'dinno'; did you mean 'dino'?"),
    ],
)
def test_a_mistake_is_one_line(harness, words, says):
    Path("x.yaml").write_text("methods: [frozen]\n")
    status, out, err = harness(*words)
    assert (status, out) == (2, "")
    assert err.startswith(f"harness: {says}") and err.count("\n") == 1


@pytest.mark.parametrize("what", ["methods", "backbones", "datasets", "encoders", "scores"])
def test_lists(harness, what):
    status, out, err = harness("list", what)
    expected = {"methods": "dreambooth_lora", "backbones": "toybox", "datasets": "folder"}
    assert (status, err) == (0, "") and expected.get(what, "clip") in out


@pytest.mark.parametrize("what", ["methods", "datasets", "scores"])
def test_a_list_wraps_to_100_columns_in_a_pipe_and_to_its_width_in_a_terminal(harness, monkeypatch, what):
    assert max(map(len, harness("list", what)[1].splitlines())) <= 100
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "132")
    plain = re.sub(r"\x1b\[\d*m", "", harness("list", what)[1])
    assert 100 < max(map(len, plain.splitlines())) <= 132


def photos(folder: Path) -> None:
    """A data set of two subjects, and a folder that looks like a base model."""
    from PIL import Image

    for subject in ("cup", "dog"):
        (folder / "photos" / subject).mkdir(parents=True)
        for n in range(4):
            Image.new("RGB", (8, 8), (n, 0, 0)).save(folder / "photos" / subject / f"{n}.png")
    text = "cup: {class: cup}\ndog: {class: dog}\n"
    (folder / "photos" / "subjects.yaml").write_text(f"subjects:\n  {text.replace(chr(10), chr(10) + '  ')}")
    (folder / "weights").mkdir()
    (folder / "weights" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (folder / "weights" / "unet.safetensors").write_bytes(b"weights")


EXPERIMENT = """
name: mine
backbone: ./weights
dataset: {name: folder, path: photos}
subjects: all
shots: [1, 3]
methods: [frozen, {name: dreambooth, params: {lr: [1e-5, 1e-6]}}]
"""


def test_a_dry_run_shows_the_trials_and_writes_nothing(harness, tmp_path):
    photos(tmp_path)
    Path("mine.yaml").write_text(EXPERIMENT)
    status, out, err = harness("sweep", "mine.yaml", "--dry-run")
    assert (status, err) == (0, "")
    assert "DreamBooth (lr=1e-05)" in out and "10 trials: 0 done, 10 to run\nto come: " in out
    assert "nothing measured yet" in out and max(map(len, out.splitlines())) <= 100
    assert not Path("runs").exists()


def test_a_long_dry_run_groups_what_differs_in_one_axis_and_fits_a_screen(harness, tmp_path):
    photos(tmp_path)
    lrs = [f"{n}e-6" for n in range(1, 41)]
    grid = EXPERIMENT.replace("[1e-5, 1e-6]", f"[{', '.join(lrs)}]").replace("[frozen, ", "[frozen, real, ")
    Path("mine.yaml").write_text(grid.replace("}}]", ", steps: [10, 20]}}]"))
    status, out, _ = harness("sweep", "mine.yaml", "--dry-run")
    told = " ".join(out.split())
    assert status == 0 and len(out.splitlines()) < 24 and out.count("DreamBooth") == 2
    assert "… 82 rows in all, those that differ in one axis share a line; --all shows each" in told
    assert "40 values" in told and "324 trials: 0 done, 324 to run\n" in out
    everything = harness("sweep", "mine.yaml", "--dry-run", "--all")[1]
    assert everything.count("DreamBooth") == 80 and "--all" not in everything
    Path("mine.yaml").write_text(grid.replace("}}]", f", steps: [10, 20], batch: {list(range(1, 16))}}}}}]"))
    out = harness("sweep", "mine.yaml", "--dry-run")[1]
    assert "… 8 more lines with 1,280 trials; 1,202 rows in all" in " ".join(out.split())


def test_a_dry_run_and_a_sweep_count_fits_and_readouts(harness, tmp_path):
    photos(tmp_path)
    Path("mine.yaml").write_text(EXPERIMENT)
    status, out, _ = harness("sweep", "mine.yaml", "--dry-run", "--set", "readouts.scale=[0.25, 0.5]")
    assert status == 0 and "DreamBooth (lr=1e-05), α = 0.25" in out
    assert "10 trials: 0 done, 10 to run\n" not in out
    assert re.search(r"\d+ trials \(10 fits, \d+ readouts\): 0 done", out)


def test_a_dry_run_needs_no_weights_and_says_that_the_sweep_does(harness, tmp_path):
    photos(tmp_path)
    Path("mine.yaml").write_text(EXPERIMENT.replace("./weights", "nobody/no-such-model"))
    status, out, err = harness("sweep", "mine.yaml", "--dry-run")
    assert status == 0 and "10 trials: 0 done, 10 to run" in out
    assert err.count("\n") == 1 and err.startswith("the sweep cannot start yet: ")
    assert "hf download nobody/no-such-model" in err
    status, _, err = harness("sweep", "mine.yaml")
    assert status != 0 and "hf download nobody/no-such-model" in err and err.count("\n") == 1


def test_a_subject_with_too_few_photos_is_told_before_anything_slow(harness, tmp_path):
    photos(tmp_path)
    Path("mine.yaml").write_text(EXPERIMENT.replace("[1, 3]", "[1, 9]"))
    status, _, err = harness("sweep", "mine.yaml")
    assert status == 2 and "mine.yaml: " in err and "9" in err and err.count("\n") == 1
    assert not Path("runs").exists()


def test_a_runs_directory_that_cannot_be_made_is_one_line(harness, tmp_path):
    photos(tmp_path)
    Path("mine.yaml").write_text(EXPERIMENT)
    Path("runs").write_text("a file")
    status, out, err = harness("sweep", "mine.yaml")
    assert (status, out) == (2, "") and err == "harness: --runs runs: cannot be made: File exists\n"


def killed(*arguments, **options):
    """In place of what a kill would cut off."""
    raise SystemExit(137)


def test_sweep_publish_and_mirror_as_a_user_meets_them(harness, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setitem(run_sweep.__kwdefaults__, "worker_factory", "fakes:FakeWorker")
    photos(tmp_path)
    Path("mine.yaml").write_text(EXPERIMENT.replace("[1, 3]", "1").replace("[1e-5, 1e-6]", "1e-5"))
    words = ("sweep", "mine.yaml", "--workers", "1", "--set", "methods=[frozen]")
    status, out, err = harness(*words)
    assert status == 0 and out.startswith("all 2 trials are done; tables and figures: runs/mine\n"), err
    assert "Frozen" in out and "\n  harness table mine --all " in out and "left out" not in err
    table = Path("runs/mine/tables/table.md")
    assert "DreamBooth" not in table.read_text() and list(Path("runs/mine/figures").iterdir())

    with monkeypatch.context() as patch:  # a kill between the last record and the tables
        patch.setattr(publish, "publish", killed)
        assert harness("sweep", "mine.yaml", "--workers", "1")[0] == 137
    assert len(list(Lines(Path("runs/mine")))) == 4 and "DreamBooth" not in table.read_text()
    status, out, err = harness("sweep", "mine.yaml")
    assert status == 0 and out.startswith("all 4 trials are done; tables and figures: runs/mine\n"), err
    assert "DreamBooth" in table.read_text() and "4 done" in err
    assert len((tmp_path / "cache" / "begun").read_text().splitlines()) == 4  # nothing was done twice

    assert "DreamBooth" in harness("table", "mine")[1]
    status, out, _ = harness("mirror", "mine")
    assert status == 0 and out == f"4 records of mine are in sqlite:///{tmp_path}/runs/mlflow.db\n"


def record(key: str) -> Record:
    fixed = {"keys": {"fit": "f", "sample": key, "score": "s"}, "status": "done", "trial": {"title": "T"}}
    return Record.model_validate({"key": key, "scores": {"dino": 0.5}} | fixed)


def test_show_takes_the_start_of_a_key(harness):
    Path("runs/x").mkdir(parents=True)
    for key in ("abc1", "abd2"):
        Lines(Path("runs/x")).append(record(key))
    status, out, _ = harness("show", "abc")
    assert status == 0 and '"dino": 0.5' in out and "runs/x/abc1" in out
    status, _, err = harness("show", "ab")
    assert status == 2 and "'ab' fits 2 records: abc1, abd2" in err


def test_a_warning_is_one_line_too(harness):
    Path("runs/x").mkdir(parents=True)
    Lines(Path("runs/x")).append(record("abc1"))
    with (Path("runs/x") / "records.jsonl").open("a") as file:
        file.write('{"key": "cut')
    with pytest.warns(UserWarning, match="cut off"):
        status, out, _ = harness("show", "abc1")
    assert status == 0 and "0.5" in out


def test_debug_shows_the_traceback(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness", "--debug", "sweep", "none.yaml"])
    with pytest.raises(Exception, match="no such file"):
        main.main()
