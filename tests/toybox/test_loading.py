"""The shipped networks load everywhere: as a plain diffusers folder, through open_clip, through timm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from harness.cli.toybox.networks import ToyboxNetworks
from harness.toybox import loading
from harness.toybox.tokenizer import tokenizer

ELSEWHERE = """
import sys
import numpy as np, torch
from diffusers import StableDiffusionPipeline
pipeline = StableDiffusionPipeline.from_pretrained(sys.argv[1])
generator = torch.Generator().manual_seed(0)
picture = pipeline("a photo of a red mug", num_inference_steps=4, generator=generator, output_type="np")
assert not [name for name in sys.modules if name.split(".")[0] == "harness"]
np.save(sys.argv[2], picture.images)
"""


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    "text", ["a photo of a sks mug", "A teal, dotted Teapot on the beach!", "ktn <v> dog's"]
)
def test_tokenizer_agrees_with_open_clip(text: str) -> None:
    theirs = open_clip.tokenize([text])[0]
    length = int(theirs.argmax()) + 1
    ours = tokenizer()(text, padding="max_length", truncation=True).input_ids
    assert ours[:length] == theirs[:length].tolist()
    assert set(ours[length:]) == {49_407}
    assert len(ours) == 77


def test_sks_is_one_token() -> None:
    assert tokenizer()("sks").input_ids == [49_406, 48_136, 49_407]


def test_the_folder_is_assembled_once(empty_cache: Path) -> None:
    folder = loading.pipeline_folder()
    written = (folder / "model_index.json").stat().st_mtime_ns
    assert folder.is_relative_to(empty_cache)
    assert loading.pipeline_folder() == folder
    assert (folder / "model_index.json").stat().st_mtime_ns == written
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, loading.CHECKSUMS}
    assert [path.name for path in folder.parents[1].iterdir()] == [folder.parent.name]


@pytest.mark.parametrize("name", ["toybox-sd/unet/diffusion_pytorch_model.safetensors", loading.CHECKSUMS])
def test_a_flipped_bit_in_the_assembled_folder_is_found_said_and_mended(name: str) -> None:
    entry = loading.pipeline_folder().parent
    files = [path for path in entry.rglob("*") if path.is_file()]
    whole = {path: path.read_bytes() for path in files}
    data = bytearray(whole[entry / name])
    data[len(data) // 2] ^= 1
    (entry / name).write_bytes(data)
    with pytest.warns(UserWarning) as said:
        assert loading.pipeline_folder().parent == entry
    assert [str(each.message) for each in said] == [
        f"{entry / name}: is damaged: its checksum is wrong; written again"
    ]
    assert {path: path.read_bytes() for path in files} == whole
    assert [path.name for path in entry.parent.iterdir()] == [entry.name]


def test_another_way_of_assembling_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    first = loading.pipeline_folder()
    monkeypatch.setattr(loading, "ASSEMBLY_VERSION", loading.ASSEMBLY_VERSION + 1)
    assert loading.pipeline_folder() != first


def test_exported_folder_makes_the_same_pictures_without_the_package(tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    loading.export(tmp_path / "sd")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "sd"), str(tmp_path / "theirs.npy")]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    pipeline = StableDiffusionPipeline.from_pretrained(loading.pipeline_folder())
    generator = torch.Generator().manual_seed(0)
    ours = pipeline(
        "a photo of a red mug", num_inference_steps=4, generator=generator, output_type="np"
    ).images
    assert np.allclose(ours, np.load(tmp_path / "theirs.npy"), atol=1e-4)


def test_parts_of_the_folder_are_single_precision() -> None:
    from safetensors.torch import load_file

    for path in loading.pipeline_folder().rglob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float32}
    told = json.loads((loading.pipeline_folder() / "text_encoder" / "config.json").read_text())
    assert told["dtype"] == "float32"


def test_export_refuses_a_folder_with_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        loading.export(tmp_path)


def test_missing_weights_name_the_command_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="harness pretrain"):
        loading.folder_digest(tmp_path)


def test_digest_depends_on_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    first = loading.folder_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = loading.folder_digest(tmp_path)
    (tmp_path / "b").write_text("two")
    assert len({first, second, loading.folder_digest(tmp_path)}) == 3


def test_clip_embeds_pictures_and_words() -> None:
    model, preprocess, tokenize = loading.load_clip()
    with torch.no_grad():
        picture = model.encode_image(preprocess(Image.new("RGB", (64, 64)))[None])
        words = model.encode_text(tokenize(["a mug", "a cat"]))
    assert picture.shape == (1, 128)
    assert words.shape == (2, 128)
    assert picture.dtype == words.dtype == torch.float32


def test_dino_gives_one_class_token_per_picture() -> None:
    model, preprocess = loading.load_dino()
    with torch.no_grad():
        assert model(preprocess(Image.new("RGB", (80, 64)))[None]).shape == (1, 192)


def test_a_rare_word_is_known_but_bound_to_nothing() -> None:
    networks = ToyboxNetworks()
    pictures = networks.generate(["a photo of a sks mug"] * 8)
    assert networks.read(pictures, version=2).words("category").count("mug") >= 6


def test_shipped_files_are_small() -> None:
    sizes = [path.stat().st_size for path in loading.WEIGHTS.rglob("*") if path.is_file()]
    assert max(sizes) <= 20e6
    assert sum(sizes) <= 80e6
