"""The numbers in what README says of `fewshot` are those that the committed records give."""

import claims as c
import pytest

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


def test_numbers_are_written_as_texts_write_them():
    assert [c.number(value) for value in (0.0241, -0.0241, -0.0004, 14.8)] == [
        ".024",
        "-.024",
        ".000",
        "14.800",
    ]
    assert [c.signed(value, 2) for value in (0.5, -0.5, 0.001)] == ["+.50", "-.50", "+.00"]
