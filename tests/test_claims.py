"""What README, docs and headers of experiments say in numbers is what the committed records give."""

import claims as c
import pytest

from harness import records
from harness.report import stats
from harness.report.merit import merit_by_subject
from harness.report.rows import select
from harness.report.tables.best_settings import MERITS, chosen, ranked
from harness.report.tables.curve_differences import compare

FLOOR, CEILING = ("frozen", {}), ("real_ae", {})
PLAIN, PENALTY = ("dreambooth", {}), ("dreambooth", {"penalty": 14.4})
PRIOR = ("dreambooth", {"prior_weight": 0.02})
LORA, WORDS, KEYS = ("dreambooth_lora", {}), ("textual_inversion", {}), ("custom_diffusion", {})
TAUGHT = (PLAIN, PENALTY, PRIOR, LORA, WORDS, KEYS)


def of(kind, shots=5):
    method, settings = kind
    return c.row("fewshot", method, shots, **settings)


def less(first, second, measure, digits=3, shots=5):
    return c.difference(of(first, shots), of(second, shots), measure, digits)


def closed(kind):
    return c.closed(of(kind), of(FLOOR), of(CEILING))


def scores(first, second):
    dino, clip, prompts = (
        less(first, second, name) for name in ("dino_heldout", "clip_t", "prompt_accuracy")
    )
    return f"DINO {dino}, CLIP-T {clip} and prompt accuracy {prompts}"


def accessories():
    shown = sorted(c.mean(of(kind), "prompt_accuracy_accessory", 2) for kind in TAUGHT)
    base = c.mean(of(FLOOR), "prompt_accuracy_accessory", 2)
    return f"base model shows {base} and these settings between {shown[0]} and {shown[-1]}"


README = {
    "gaps": lambda: (
        f"prior preservation closes {closed(PRIOR)}, with the Lipschitz penalty {closed(PENALTY)}, plain "
        f"{closed(PLAIN)}, LoRA {closed(LORA)}, Textual Inversion {closed(WORDS)}, "
        f"Custom Diffusion {closed(KEYS)}"
    ),
    "custom-diffusion": lambda: (
        f"DINO {less(KEYS, PLAIN, 'dino_heldout')}, and it is not told from the base model "
        f"({less(KEYS, FLOOR, 'dino_heldout')})"
    ),
    "penalty-and-plain": lambda: (
        f"{scores(PENALTY, PLAIN)} cannot be told apart. The weights stay closer to the base model "
        f"(‖Δθ‖₂ {less(PENALTY, PLAIN, 'weight_l2', 1)}), the outputs move farther from it "
        f"(‖Δε‖₂ {less(PENALTY, PLAIN, 'noise_l2', 1)})"
    ),
    "one-photo": lambda: (
        f"From one photo DINO is {less(PENALTY, PLAIN, 'dino_heldout', shots=1)} higher, for "
        f"{less(PENALTY, PLAIN, 'noise_l2', 1, shots=1)} more of ‖Δε‖₂"
    ).replace("+", ""),
    "penalty-and-prior": lambda: (
        f"{scores(PENALTY, PRIOR)} cannot be told apart with n = 4, nor can ‖Δε‖₂ "
        f"({less(PENALTY, PRIOR, 'noise_l2', 1)}). The weights stay closer to the base model "
        f"(‖Δθ‖₂ {less(PENALTY, PRIOR, 'weight_l2', 1)})"
    ),
    "drift": lambda: (
        f"‖Δε‖₂ is {less(LORA, PLAIN, 'noise_l2', 1)} for LoRA and {less(KEYS, PLAIN, 'noise_l2', 1)} for "
        f"Custom Diffusion. By ‖Δθ‖₂ it is LoRA that moves farthest ({c.mean(of(LORA), 'weight_l2', 1)})"
    ),
    "accessories": accessories,
}


@pytest.mark.parametrize("name", README)
def test_readme_says_what_the_records_say(name):
    assert README[name]() in c.text("README.md")


def recipe(first, second, measure, digits=3, of="table1"):
    """Two rows of an experiment, each a method with settings, less one another."""
    return c.difference(*(c.row(of, method, **own) for method, own in (first, second)), measure, digits)


MILD = ("dreambooth", {"penalty": 14.4, "norm": "tensor_mean"})
STRONG, FREE = ("dreambooth", {"penalty": 500}), ("dreambooth", {})
HEAVY = ("dreambooth", {"prior_weight": 1.0})


def along(settings):
    row = c.row("figure5", "dreambooth", **settings)
    return f"{c.mean(row, 'dino_heldout')} at ‖Δε‖₂ {c.mean(row, 'noise_l2', 2)}"


def floors(method):
    ends = (c.row("toybox_floors", name) for name in ("frozen", "real_ae"))
    return c.closed(c.row("toybox_floors", method), *ends)


FLOORS = tuple(floors(name) for name in ("dreambooth", "dreambooth_lora", "custom_diffusion"))


def guided(measure, low=2.0, high=5.0):
    """What more guidance does to plain DreamBooth."""
    ends = (("dreambooth", {"guidance": each}) for each in (high, low))
    return recipe(*ends, measure, of="guidance")


GUIDED = [guided(name) for name in ("dino_context", "prompt_accuracy_accessory", "prior_accuracy_other")]
SAID = {
    "guidance-header": (
        "experiments/guidance.yaml",
        "gains fidelity, {}, accessories as asked, {}, and kept prior, {},".format(*GUIDED),
    ),
    "guidance-results": (
        "results/README.md",
        "gains DINO in context, {}, accessories as asked, {}, and kept prior, {};".format(*GUIDED),
    ),
    "floors-header": (
        "experiments/toybox_floors.yaml",
        "DreamBooth closes {}, LoRA {}, Custom Diffusion {}".format(*FLOORS),
    ),
    "floors-sheet": ("docs/toybox.md", f"Custom Diffusion: the same | {FLOORS[2]} |"),
    "floors-results": (
        "results/README.md",
        "DreamBooth closes {} of the gap** between base model and autoencoded photos, LoRA {}, Custom "
        "Diffusion {};".format(*FLOORS),
    ),
    "table1-mild": (
        "results/README.md",
        f"‖Δε‖₂ {recipe(MILD, FREE, 'noise_l2', 2)}, DINO {recipe(MILD, FREE, 'dino_heldout')}, "
        f"CLIP-T {recipe(MILD, FREE, 'clip_t')}; λ = 500: "
        f"{recipe(STRONG, FREE, 'noise_l2', 1, of='lipschitz_bounds')}, "
        f"{recipe(STRONG, FREE, 'dino_heldout', of='lipschitz_bounds')}, "
        f"{recipe(STRONG, FREE, 'clip_t', of='lipschitz_bounds')}",
    ),
    "table1-heavy": (
        "experiments/paper/table1.yaml",
        f"by {recipe(MILD, HEAVY, 'dino_heldout')[1:]}, at {recipe(MILD, HEAVY, 'noise_l2', 1)[1:]} more",
    ),
    "figure5": (
        "results/README.md",
        f"λ = 100 has DINO {along({'penalty': 100})}, "
        f"α = .8 {along({'value': 0.8}).replace(' at ‖Δε‖₂', ' at')}",
    ),
    "penalties": (
        "experiments/lipschitz_bounds.yaml",
        "‖Δθ‖₂ {} without, {} at λ = 0.01, {} at the authors' 500".format(
            *(
                f"{float(c.mean(c.row('lipschitz_bounds', 'dreambooth', **own), 'weight_l2', 2)):.2f}"
                for own in ({}, {"penalty": 0.01}, {"penalty": 500})
            )
        ),
    ),
    "fewshot-header": (
        "experiments/fewshot.yaml",
        f"plain DreamBooth: {scores(PENALTY, PLAIN).replace(' and ', ', ')};",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_headers_and_docs_say_what_the_records_say(name):
    file, words = SAID[name]
    assert words in c.text(file)


@pytest.fixture(scope="module")
def curved():
    """Drift → method → score → its difference to λ at equal drift."""
    selection = select(records.read(c.REPOSITORY / "results" / "curves"))
    scores = ("dino_context", "prompt_accuracy_accessory")
    return {
        drift: {
            each.arm.key: each.by_score
            for each in compare(selection, "dreambooth+penalty", drifts=(drift,), scores=scores)
        }
        for drift in ("noise_l2", "image_drift")
    }


CURVES = {
    "dreambooth@scale": "1 α: DINO {}, accessories {};",
    "dreambooth@steps": "2 early stopping: DINO {}, accessories {};",
    "dreambooth+bound": "3 hard bounds: DINO {}, accessories {}",
    "dreambooth+prior": "4 class images: DINO {}, accessories {}",
    "dreambooth_lora@scale": "5 LoRA along α: DINO {}, accessories {},",
    "dreambooth+penalty:activation": "6 activations †: DINO {}, accessories {};",
    "output_preservation": "7 output preservation †: DINO {}, accessories {};",
    "dreambooth+bank": "8 bank images: DINO {}, accessories {}",
}
ALONG_IMAGES = {
    "dreambooth+penalty:activation": "which it does not train on, DINO {}, accessories {}",
    "output_preservation": "at equal image drift DINO {}, accessories {};",
}


@pytest.mark.parametrize(
    ("drift", "key", "words"),
    [
        *(("noise_l2", key, words) for key, words in CURVES.items()),
        *(("image_drift", key, words) for key, words in ALONG_IMAGES.items()),
    ],
)
def test_the_header_of_curves_says_what_compare_finds(curved, drift, key, words):
    found = (f"{c.signed(each.value)} {c.interval(each)}" for each in curved[drift][key].values())
    assert words.format(*found) in c.text("experiments/curves.yaml")


def test_readme_says_of_curves_what_compare_finds(curved):
    shrunk, stopped, bounded = (
        [f"{c.signed(each.value)} {c.interval(each)}" for each in curved["noise_l2"][key].values()]
        for key in ("dreambooth@scale", "dreambooth@steps", "dreambooth+bound")
    )
    assert f"has DINO in context {shrunk[0]} and accessories as asked {shrunk[1]}" in c.text("README.md")
    assert f"behind (DINO {stopped[0]}), hard bounds are not told from λ ({bounded[0]})" in c.text(
        "README.md"
    )


@pytest.mark.parametrize(("weight", "place"), [(0.01, "weight .01"), (0.1, ".1"), (1.0, "1")])
def test_the_header_says_what_alignment_does_to_the_subject(weight, place):
    """Rows of alignment and plain DreamBooth differ in it alone."""
    rows = [
        row
        for row in c.rows("curves")
        if (row.method, row.constrained, row.setting.get("params.prior_weight") or 0)
        == ("dreambooth", False, 0)
        and "readout.kind" not in row.setting
    ]
    weights = {next((v for k, v in row.setting.items() if k == "alignment.dino"), 0): row for row in rows}
    assert set(weights) == {0, 0.01, 0.1, 1.0}
    words = f"{c.difference(weights[weight], weights[0], 'dino_context')} at {place}"
    assert words in c.text("experiments/curves.yaml")


def merits(row):
    """Merit, its standard error, DINO in context, accessories and drift of a setting, as texts write them."""
    merit = merit_by_subject(row.records, MERITS["composition"]).by_subject.values()
    scores = (c.mean(row, name) for name in ("dino_context", "prompt_accuracy_accessory"))
    ends = c.number(stats.mean(merit)), c.number(stats.standard_error(merit))
    return *ends, *scores, c.mean(row, "noise_l2", 2).removesuffix(".00")


@pytest.mark.parametrize("study", range(8))
def test_header_and_data_sheet_say_of_the_rivals_what_was_taken_and_what_it_reached(study):
    groups = [
        group
        for group in ranked(records.read(c.REPOSITORY / "results" / "tuning-rivals"))
        if any(record.search for each in group for record in each.row.records)
    ]
    assert len(groups) == 8
    merit, error, fidelity, accessory, drift = merits(chosen(groups[study]).row)
    assert f"{merit}, {fidelity}, {accessory}, {drift}" in c.text("experiments/tuning/rivals.yaml")
    sheet = c.text("docs/toybox.md")
    assert f"| {merit} ± {error} | {fidelity} | {accessory} |" in sheet
    best = merits(groups[study][0].row)
    assert groups[study][0] is chosen(groups[study]) or f"| {best[0]} ± {best[1]} |" in sheet


def test_results_say_of_the_rivals_how_far_apart_they_are():
    found = {
        group[0].row.records[0].search["study"]: dict(group[0].merit.by_subject)
        for group in ranked(records.read(c.REPOSITORY / "results" / "tuning-rivals"))
        if group[0].row.records[0].search
    }
    held = found["Output preservation †"]
    over_dco = stats.paired_interval(held, found["DCO"])
    said = f"{c.signed(over_dco.mean)} {c.interval(over_dco)}"
    assert f"the lead of output preservation over DCO is {said}" in c.text("results/README.md")
    bank = stats.paired_interval(found["DreamBooth + bank"], held)
    said = f"(merit {c.signed(bank.mean)} {c.interval(bank)}, paired t, n = 4)"
    assert said in c.text("experiments/tuning/rivals.yaml")
    null = c.row("tuning-rivals", "custom_diffusion", null_space=4)
    assert f"(.34) and DINO {c.mean(null, 'dino_context')}" in c.text("experiments/tuning/rivals.yaml")
    assert c.mean(null, "noise_l2", 2) == ".34"


def test_numbers_are_written_as_texts_write_them():
    assert [c.number(value) for value in (0.0241, -0.0241, -0.0004, 14.8)] == [
        ".024",
        "-.024",
        ".000",
        "14.800",
    ]
    assert [c.signed(value, 2) for value in (0.5, -0.5, 0.001)] == ["+.50", "-.50", "+.00"]


def test_header_and_results_say_what_is_left_at_equal_seconds():
    def of(title):
        (found,) = [
            each for each in c.rows("equal_seconds") if each.records[0].trial["title"].endswith(title)
        ]
        return found

    def less(first, steps, *measures):
        second = of("λ=229)" + (f", at {steps} steps" if steps < 500 else ""))
        digits = {"noise_l2": 2}
        return [c.difference(of(first), second, name, digits.get(name, 3)) for name in measures]

    three = ("dino_context", "noise_l2", "prompt_accuracy_accessory")
    header, results = c.text("experiments/equal_seconds.yaml"), c.text("results/README.md")
    held = "Output preservation †"
    at = {steps: less(held, steps, *three) for steps in (200, 300, 500)}
    assert "(200): DINO in context {}, ‖Δε‖₂ {};".format(*at[200]) in header
    assert "(300) {}, {}, accessories {};".format(*at[300]) in header
    assert "(500) {}, {}, {}.".format(*at[500]) in header
    beside = [*less("activation †)", 300, "dino_context"), *less("DreamBooth + bank", 300, "dino_context")]
    assert "at equal seconds, {}, or by little, {}.".format(*beside) in header
    places = (at[300][0], at[500][0], at[300][1], at[500][1])
    assert "DINO in context {} and {}, ‖Δε‖₂ {} and {} (4".format(*places) in results
