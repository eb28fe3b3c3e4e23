"""The registry of measures: complete, consistent, torch-free."""

import subprocess
import sys

from harness.metrics.registry import ATTRIBUTES, GROUPS, MEASURES


def test_keys_are_names_and_every_entry_is_described():
    for name, measure in MEASURES.items():
        assert measure.name == name
        assert measure.title and measure.unit and measure.description.endswith(".")
        assert measure.version >= 1
        assert (measure.stage == "sample") <= (measure.kind == "drift" and measure.encoder is None)


def test_what_the_protocol_asks_for_is_there():
    asked = (
        "clip_t clip_i dino dino_heldout clip_i_heldout pres div copying prompt_accuracy weight_l2 "
        "weight_tensor_mean noise_l2 noise_mse lipschitz_ratio image_drift kid kid_floor prior_clip_t "
        "prior_clip_t_fall"
    )
    assert set(asked.split()) <= set(MEASURES)
    assert all(f"image_drift_{group}" in MEASURES for group in GROUPS)
    assert all(f"prompt_accuracy_{name}" in MEASURES for name in ATTRIBUTES)


def test_reading_the_registry_loads_no_heavy_library():
    check = (
        "import harness.metrics.registry, sys; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
