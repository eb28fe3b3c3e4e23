"""Images made elsewhere get the scores that a trial's own images get."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.datasets.registry import load_dataset
from harness.metrics.encoders.registry import default_encoders
from harness.specs import BackboneSpec, DatasetSpec, DriftSet, Sampling, Trial
from harness.trial.external import score
from harness.trial.external_images import ExternalImages, ExternalImagesError, read_templates
from harness.trial.plan import Keys, Plan
from harness.trial.worker import Worker

TOYBOX = BackboneSpec(name="toybox")
SUBJECT = "mossy-mug"
SCORES = ("clip_i", "dino", "dino_heldout", "clip_t", "prompt_accuracy", "subject_pattern", "div_dino")


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """A trial of the base model, and a folder of its images as another program might have left them."""
    sampling = Sampling(steps=2, prompts=3, images=2)
    plan = Plan(
        trial=Trial(
            backbone=TOYBOX, method="frozen", title="F", subject=SUBJECT, shots=0, seed=0, sampling=sampling
        ),
        drift=DriftSet(prompts=8, timesteps=1, images=0),
        scores=SCORES,
        precision="fp32",
        keep_weights="none",
        keys=Keys("a", "b", "c"),
        stage="fit",
    )  # fmt: skip
    encoders = default_encoders(TOYBOX)
    worker = Worker(backbone=TOYBOX, dataset=DatasetSpec(name="toybox"), encoders=encoders, threads=1)
    outcome = worker.run(plan, lambda *told: None)
    assert outcome.status == "done", outcome.error
    folder = tmp_path_factory.mktemp("elsewhere")
    for name, data in outcome.artifacts.items():
        if name.startswith("pictures/"):
            (folder / name.removeprefix("pictures/")).write_bytes(data)
    images = json.loads(outcome.artifacts["images.json"])["pictures"]
    templates = [each["clip_text"].replace("mug", "{}", 1) for each in images[::2]]
    return outcome, folder, templates


def test_scores_equal_those_of_the_trial_that_made_the_images(trial):
    outcome, folder, templates = trial
    made = ExternalImages.found_in(folder, len(templates))
    report = score(
        made,
        templates,
        dataset=load_dataset("toybox"),
        subject=SUBJECT,
        shots=0,
        seed=0,
        encoders=default_encoders(TOYBOX),
    )
    for name in SCORES:
        assert report.scores.values[name] == pytest.approx(outcome.scores[name], abs=1e-6), name
        assert report.encoders[name] == outcome.provenance["encoders"][name]
    assert report.scores.notes["copying"] == "nothing was learnt from photos"


def test_command_takes_a_folder_for_each_prompt_and_prints_json(trial, tmp_path):
    outcome, folder, templates = trial
    for file in folder.iterdir():
        (tmp_path / "made" / file.name[:2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "made" / file.name[:2] / file.name[3:])
    (tmp_path / "prompts.txt").write_text("\n".join(templates) + "\n\n")
    arguments = [str(tmp_path / "made"), "--subject", SUBJECT, "--prompts", str(tmp_path / "prompts.txt")]
    result = CliRunner().invoke(app, ["score", *arguments, "--shots", "3", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["scores"]["dino"] == pytest.approx(outcome.scores["dino"], abs=1e-6)
    assert told["scores"]["copying"] == 0  # the base model has seen no shot
    assert (told["images"], told["prompts"]) == (6, 3)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([], "no PNG or JPEG"),
        (["a.png"], "begins with no number"),
        (["07-00.png"], "the prompts are 0 to 2"),
    ],
)
def test_images_that_fit_no_prompt_are_named(tmp_path, photos, names, why):
    for name in names:
        photos[0].save(tmp_path / name)
    with pytest.raises(ExternalImagesError, match=why):
        ExternalImages.found_in(tmp_path, 3)


@pytest.mark.parametrize(
    ("text", "why"), [("", "no prompts"), ("a mug\n", "needs exactly one"), ("{} {}\n", "needs exactly one")]
)
def test_prompt_file_that_cannot_be_used_is_named(tmp_path, text, why):
    (tmp_path / "prompts.txt").write_text(text)
    with pytest.raises(ExternalImagesError, match=why):
        read_templates(tmp_path / "prompts.txt")
