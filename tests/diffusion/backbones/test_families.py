"""Every family draws what its own diffusers pipeline draws, and says what it cannot do in one line."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import torch
from diffusers import (
    DDPMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    UNet2DConditionModel,
)
from diffusers.training_utils import compute_density_for_timestep_sampling

from harness import methods
from harness.api import Ceiling, Lipschitz, Subject
from harness.diffusion import export
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.checks import check
from harness.diffusion.backbones.families import FAMILIES, Family, pipeline_parts
from harness.diffusion.backbones.loading import load_backbone, without_weights
from harness.diffusion.backbones.stable_diffusion import StableDiffusion
from harness.diffusion.constraints.active import ActiveConstraints
from harness.diffusion.constraints.null_space import NullSpace
from harness.diffusion.denoising import DenoisingLoss
from harness.diffusion.draws import stream
from harness.diffusion.lipschitz import Full, penalty_value
from harness.diffusion.sampling import sample, sample_images
from harness.diffusion.training import Example, Trainer, TrainingSet
from harness.diffusion.weights.delta import Delta
from harness.errors import BackboneError
from harness.specs import BackboneSpec
from harness.sweep.memory_estimate import estimate

PROMPTS = ["a photo of a dog", "a cat in the snow"]
SEEDS = [3, 2**40 + 1]


@pytest.fixture
def sdxl(tiny_sdxl, cache):
    return load_backbone(str(tiny_sdxl), cache=cache)


def theirs(folder, guidance, **changes):
    pipeline = DiffusionPipeline.from_pretrained(folder, **changes)
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    images = pipeline(
        PROMPTS, num_inference_steps=4, guidance_scale=guidance, generator=generators, output_type="np"
    ).images
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@torch.no_grad()
def ours(backbone, guidance, sampler):
    latents = sample(backbone, PROMPTS, seeds=SEEDS, sampler=sampler, steps=4, guidance=guidance)
    return backbone.images(latents)


@pytest.fixture
def sd3(tiny_sd3, cache):
    return load_backbone(str(tiny_sd3), cache=cache)


@pytest.fixture(params=["sdxl", "sd3"])
def family(request):
    return request.getfixturevalue(request.param)


def test_sd3_equals_its_pipeline(sd3, tiny_sd3):
    assert (ours(sd3, 5.0, "euler") - theirs(tiny_sd3, 5.0)).abs().max() <= 1e-4


def test_sd3_without_t5_equals_its_pipeline_without_t5(tiny_sd3, sd3, cache):
    backbone = load_backbone(spec(tiny_sd3, options={"text_encoder_3": "none"}), cache=cache)
    pipeline = {"text_encoder_3": None, "tokenizer_3": None}
    assert (ours(backbone, 5.0, "euler") - theirs(tiny_sd3, 5.0, **pipeline)).abs().max() <= 1e-4
    assert backbone.revision != sd3.revision


@pytest.fixture(params=["tiny_sd", "tiny_sd_v", "tiny_sdxl", "tiny_sd3"])
def every(request, cache):
    """Each of the families in turn, Stable Diffusion once with ε and once with v."""
    return load_backbone(str(request.getfixturevalue(request.param)), cache=cache)


def restated(backbone, images):
    """Loss of one step on two images, with diffusers' schedulers and the networks called by hand."""
    generator = torch.Generator().manual_seed(5)
    index = torch.randperm(len(images), generator=generator)[:2]
    latents = backbone.latents([images[i] for i in index])
    z = latents.mean + latents.std * torch.randn(latents.mean.shape, generator=generator)
    noise = torch.randn(z.shape, generator=generator)
    conditioning = backbone.encode_prompts(["a dog"] * 2)
    denoiser = backbone.networks.denoiser
    if backbone.family == "sd3":
        flow = FlowMatchEulerDiscreteScheduler.from_config(backbone.networks.scheduler)
        drawn = compute_density_for_timestep_sampling("logit_normal", 2, 0.0, 1.0, generator=generator)
        t = flow.timesteps[(drawn * 1000).long()]
        predicted = denoiser(
            flow.scale_noise(z, t, noise), conditioning.sequence, conditioning.pooled, t
        ).sample
        return torch.nn.functional.mse_loss(predicted, noise - z)
    scheduler = DDPMScheduler.from_config(backbone.networks.scheduler)
    t = torch.randint(0, 1000, (2,), generator=generator)
    side = float(backbone.resolution)
    sizes = torch.tensor([[side, side, 0.0, 0.0, side, side]] * 2)
    added = {"text_embeds": conditioning.pooled, "time_ids": sizes} if backbone.family == "sdxl" else None
    predicted = denoiser(
        scheduler.add_noise(z, noise, t), t, conditioning.sequence, added_cond_kwargs=added
    ).sample
    of_v = scheduler.config.prediction_type == "v_prediction"
    return torch.nn.functional.mse_loss(predicted, scheduler.get_velocity(z, noise, t) if of_v else noise)


def test_loss_and_gradients_of_one_step_restated_with_diffusers(every, photos):
    shots = [Example(photo, ("a dog",)) for photo in photos]
    parameters = every.parameters("denoiser")
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    subject = TrainingSet.prepare(every, shots, None, torch.Generator())
    drawn = stream(every, subject, None, batch=2, generator=torch.Generator().manual_seed(5))
    loss = DenoisingLoss(every)(next(drawn))
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
    every.networks.denoiser.zero_grad()
    expected = restated(every, photos)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, parameters[name].grad, rtol=1e-4, atol=1e-5)


def test_a_batch_of_four_is_four_batches_of_one(every, photos):
    parameters = every.parameters("denoiser")
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    generator = torch.Generator().manual_seed(1)
    latents = every.latents(photos[:4]).mean
    noise = torch.randn(latents.shape, generator=generator)
    t = every.draw_timesteps(4, generator=generator)
    conditioning = every.conditioning(["a dog", "a red mug", "", "a cat on grass"])

    def backward(part, share):
        noisy = every.add_noise(latents[part], noise[part], t[part])
        predicted = every.predict(noisy, t[part], conditioning[part])
        wanted = every.target(latents[part], noise[part], t[part])
        ((predicted - wanted).square().mean() * share).backward()
        return predicted.detach()

    whole = backward(slice(4), 1.0)
    gradients = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
    every.networks.denoiser.zero_grad()
    singles = torch.cat([backward(slice(i, i + 1), 0.25) for i in range(4)])
    torch.testing.assert_close(singles, whole, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(parameters[name].grad, gradient, rtol=1e-4, atol=1e-5)


def test_images_do_not_depend_on_the_batch(every):
    settings = {"sampler": "euler", "steps": 3, "guidance": 5.0}
    together = sample(every, PROMPTS, seeds=SEEDS, **settings)
    alone = [sample(every, [prompt], seeds=[seed], **settings) for prompt, seed in zip(PROMPTS, SEEDS)]
    with torch.no_grad():
        difference = every.images(together) - every.images(torch.cat(alone))
    assert difference.abs().max() <= 1e-4


def test_with_accumulation_the_penalty_counts_once_per_step(every, photos, monkeypatch):
    """At a distance δ from θ0, λ·Σ mean((θ − θ0)²) has the gradient 2λδ/n_l, whatever the micro-batches."""
    added, original = [], ActiveConstraints.add_gradient

    def watched(self, loss):
        with torch.no_grad():
            for term in self.terms:
                term.value.copy_(term.base + 0.01)
                term.value.grad = torch.zeros_like(term.value)
        original(self, loss)
        added.append([float(term.value.grad.mean() * term.value.numel()) for term in self.terms])

    monkeypatch.setattr(ActiveConstraints, "add_gradient", watched)
    shots = [Example(photo, ("a dog",)) for photo in photos]
    Trainer(seed=0, lipschitz=Lipschitz(penalty=50.0)).fit(
        every, parameters=every.parameters("cross_attention_kv"), examples=shots,
        steps=2, lr=1e-6, batch=1, accumulate=4,
    )  # fmt: skip
    assert len(added) == 2
    assert added[0] == pytest.approx([2 * 50.0 * 0.01] * len(added[0]), rel=1e-3)


def test_t5_reads_the_word_that_a_new_one_starts_from(sd3):
    before = sd3.conditioning(["a photo of a dog"])
    sd3.token_rows(["<v>"], init=["dog"])
    torch.testing.assert_close(sd3.conditioning(["a photo of a <v>"]).sequence, before.sequence)


def test_sd3_that_lacks_t5_says_how_to_go_without(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusion3Pipeline"}))
    with pytest.raises(BackboneError, match=r"lacks text_encoder_3 \(T5\); .* text_encoder_3: none"):
        load_backbone(str(tmp_path))


@pytest.mark.parametrize("zeros", [True, False])
def test_sdxl_equals_its_pipeline_whatever_guidance_sets_against_the_prompt(
    tiny_sdxl, cache, tmp_path, zeros
):
    folder = tmp_path / "sdxl"
    shutil.copytree(tiny_sdxl, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["force_zeros_for_empty_prompt"] = zeros
    (folder / "model_index.json").write_text(json.dumps(index))
    backbone = load_backbone(str(folder), cache=cache)
    assert (ours(backbone, 5.0, "euler") - theirs(folder, 5.0)).abs().max() <= 1e-4


def test_a_new_word_reads_like_the_word_it_starts_from(sdxl):
    before = sdxl.conditioning(["a photo of a dog"])
    sdxl.token_rows(["<v>"], init=["dog"])
    taught = sdxl.conditioning(["a photo of a <v>"])
    torch.testing.assert_close(taught.sequence, before.sequence)
    torch.testing.assert_close(taught.pooled, before.pooled)


SMALL = {"steps": 2, "batch": 2, "accumulate": 1, "prior_count": 2, "lr": 1e-3}


def fit(name, backbone, photos, lipschitz=None):
    kind = methods.load(name)
    chosen = {key: value for key, value in SMALL.items() if key in kind.__dataclass_fields__}
    method = methods.build(kind, methods.resolve_params(kind, chosen, "tiny"))
    prompts = ["a photo of a mug", "a dog in the snow"]
    trainer = Trainer(seed=0, lipschitz=lipschitz, bank_texts=lambda: prompts)
    result = method.fit(backbone, Subject("rex", "dog", photos, "red dog"), trainer)
    return result, trainer


SKIPPED = {
    (
        "token_lora",
        "sd3",
    ): "token_lora needs cross-attention to one sequence of tokens; sd3 has joint attention",
}
"""Methods that a family cannot have."""


@pytest.mark.parametrize("name", methods.known())
def test_every_method_trains_stores_and_leaves_no_trace(name, family, photos, tmp_path):
    before = {key: value.clone() for key, value in family.networks.denoiser.state_dict().items()}
    constrained = methods.load(name).changes_weights
    if reason := SKIPPED.get((name, family.family)):
        pytest.skip(reason)
    lipschitz = Lipschitz(penalty=50.0, bound=0.01) if constrained else None
    result, trainer = fit(name, family, photos, lipschitz)
    assert len(trainer.losses) == (2 if methods.load(name).uses_shots else 0)
    assert family.distance().l2 <= 0.01 * (1 + 1e-5) or not constrained
    if not isinstance(result, Ceiling):
        settings = {"seeds": [0], "sampler": FAMILIES[family.family].samplers[0], "steps": 2, "guidance": 2.0}
        tuned = sample_images(family, [f"a {result.phrase}"], **settings)
        (tmp_path / "delta.safetensors").write_bytes(family.delta().to_bytes())
        family.restore()
        family.apply(Delta.from_bytes((tmp_path / "delta.safetensors").read_bytes()))
        assert torch.equal(sample_images(family, [f"a {result.phrase}"], **settings), tuned)
    family.restore()
    after = family.networks.denoiser.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


SKIPS = {
    ("custom_diffusion", "sd"): "added_kv: the family 'sd' has cross-attention and no added keys and values",
    (
        "custom_diffusion",
        "sdxl",
    ): "added_kv: the family 'sdxl' has cross-attention and no added keys and values",
}
"""What does not go together only where an option asks for it."""


@pytest.mark.parametrize("name", methods.known())
def test_methods_skip_no_family_but_for_the_reasons_listed(name):
    subject = Subject("rex", "dog", (), "red dog", renderable=True)
    kind = methods.load(name)
    for family in FAMILIES:
        assert kind().skip(subject, family) == SKIPPED.get((name, family))
        if hasattr(kind, "added_kv"):
            reason = kind(added_kv=True).skip(subject, family)
            assert reason == SKIPS.get((name, family))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_without_cross_attention_has_no_null_space_and_says_so_before_anything_is_loaded(name):
    crosses = FAMILIES[name].load_class().cross_attention is not None
    reason = NullSpace(null_space=2).skip(name)
    assert reason == (None if crosses else f"null_space: no cross-attention in {name!r}")


def test_custom_diffusion_on_sd3_trains_the_images_keys_and_values_and_the_texts_if_asked(sd3):
    image, text = sd3.parameters("cross_attention_kv"), sd3.parameters("added_kv")
    ends = [f"attn.{layer}.{kind}" for layer in ("to_k", "to_v") for kind in ("weight", "bias")]
    assert sorted(image) == sorted(f"denoiser.transformer_blocks.{i}.{e}" for i in (0, 1) for e in ends)
    assert {name.split(".")[-2] for name in text} == {"add_k_proj", "add_v_proj"}


def moved(shape, *, size=None, by=0.01):
    """A tensor moved by the same everywhere; its values need no memory: one number seen in every place."""
    value, base = torch.tensor(by).expand(shape), torch.tensor(0.0).expand(shape)
    return Full("", value, base, size or shape.numel())


@pytest.fixture(scope="module")
def released():
    """Names and shapes of Stable Diffusion 1.5's U-Net."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    return {name: parameter.shape for name, parameter in unet.named_parameters()}


def test_penalty_over_the_released_unet_is_one_square_per_tensor(released):
    assert len(released) == 686
    assert sum(shape.numel() for shape in released.values()) == 859_520_964
    assert penalty_value([moved(shape) for shape in released.values()]) == pytest.approx(686e-4, rel=1e-6)


def test_penalty_over_keys_values_and_a_token_row_counts_the_row_in_the_whole_table(released):
    pattern = re.compile(StableDiffusion.groups["cross_attention_kv"])
    chosen = [shape for name, shape in released.items() if pattern.search(f"denoiser.{name}")]
    assert (len(chosen), sum(shape.numel() for shape in chosen)) == (32, 19_169_280)
    row = moved(torch.Size([1, 768]), size=49_409 * 768)
    expected = 32e-4 + 1e-4 * 768 / (49_409 * 768)
    assert penalty_value([*map(moved, chosen), row]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_and_its_class_know_each_other(name):
    kind = FAMILIES[name].load_class()
    assert issubclass(kind, Backbone)
    assert kind.family == name
    assert kind.prior_sampling[0] in FAMILIES[name].samplers


def test_an_option_names_another_autoencoder_and_so_another_model(tiny_sdxl, tiny_sd, sdxl, cache):
    spec = BackboneSpec(name="x", path=str(tiny_sdxl), options={"vae": str(tiny_sd / "vae")})
    other = load_backbone(spec, cache=cache)
    assert other.networks.autoencoder.config.scaling_factor == 0.18215
    assert other.revision != sdxl.revision


def spec(folder, **changes):
    return BackboneSpec(name="x", path=str(folder), **changes)


def test_what_can_be_known_without_loading_is_refused_without_loading(tiny_sdxl):
    check(spec(tiny_sdxl), "euler")
    for wrong, sampler, message in (
        (spec(tiny_sdxl), "dimm", r"\(sdxl\): unknown sampler 'dimm'; did you mean 'ddim'"),
        (spec(tiny_sdxl, family="sd"), "ddim", "family 'sd' was requested, but .* says 'sdxl'"),
        (spec(tiny_sdxl, options={"text": 1}), "ddim", "no option 'text'; it has vae"),
    ):
        with pytest.raises(BackboneError, match=message):
            check(wrong, sampler)


def test_a_folder_that_is_not_whole_names_what_it_lacks(tmp_path):
    index = {"_class_name": "StableDiffusionXLPipeline"}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "unet").mkdir()
    with pytest.raises(BackboneError, match=r"lacks vae, text_encoder, text_encoder_2, tokenizer"):
        load_backbone(str(tmp_path))


def test_a_shard_that_is_missing_is_named(tiny_sdxl, tmp_path):
    folder = tmp_path / "sdxl"
    shutil.copytree(tiny_sdxl, folder)
    index = {"weight_map": {"a": "diffusion_pytorch_model-00002-of-00002.safetensors"}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BackboneError, match=r"unet: .* names .*00002-of-00002.safetensors, which is missing"):
        load_backbone(str(folder))


def test_lora_weights_are_no_backbone(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "pytorch_lora_weights.safetensors"
    save_file({"unet.to_q.lora_A.weight": torch.zeros(1)}, path)
    with pytest.raises(BackboneError, match="a file of LoRA weights"):
        load_backbone(str(path))
    with pytest.raises(BackboneError, match=r"holds LoRA weights \(pytorch_lora_weights.safetensors\)"):
        load_backbone(str(tmp_path))


TOY = '''
"""A toy family: one text encoder, a U-Net in a folder "denoiser" that predicts the image itself."""

import torch
from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextModel

from harness.diffusion.backbones.base import Backbone, Networks
from harness.diffusion.backbones.conditioning import Conditioning


class Toy(Backbone):
    family = "toy"
    groups = {"denoiser": r".*", "attention": r"[.]attn[12][.]"}
    prior_sampling = ("euler", 2, 1.0)

    @classmethod
    def read_networks(cls, folder):
        folder.check()
        return Networks(
            denoiser=folder.denoiser(UNet2DConditionModel),
            autoencoder=folder.autoencoder(),
            text_encoders=(folder.clip(CLIPTextModel),),
            scheduler=folder.scheduler(),
        )

    def encode_prompts(self, prompts):
        (encoder,) = self.networks.text_encoders
        return Conditioning(encoder.model(encoder.read(prompts).input_ids.to(self.device))[0])

    def draw_timesteps(self, n, *, generator):
        return (torch.rand(n, generator=generator) * 1000).to(self.device)

    def add_noise(self, latents, noise, timesteps):
        share = (timesteps / 1000).view(-1, 1, 1, 1)
        return (1 - share) * latents + share * noise

    def target(self, latents, noise, timesteps):
        return latents

    def predict(self, noisy, timesteps, conditioning):
        return self.networks.denoiser(noisy, timesteps, conditioning.sequence).sample.float()

    def scheduler(self, sampler, steps):
        scheduler = EulerDiscreteScheduler.from_config(self.networks.scheduler)
        scheduler.set_timesteps(steps, device=self.device)
        return scheduler
'''


@pytest.fixture
def toy(tiny_sd, tmp_path, monkeypatch):
    """A folder of a family that exists in one module and one entry of the registry, and nowhere else."""
    (tmp_path / "toy_family.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    entry = Family(
        "ToyPipeline",
        "toy_family:Toy",
        networks=("denoiser", "vae", "text_encoder"),
        others=("tokenizer", "scheduler"),
        samplers=("euler",),
        blocks=r"blocks\.\d+",
    )
    monkeypatch.setitem(FAMILIES, "toy", entry)
    folder = tmp_path / "toy"
    shutil.copytree(tiny_sd, folder)
    (folder / "unet").rename(folder / "denoiser")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "ToyPipeline"}))
    yield folder
    sys.modules.pop("toy_family", None)


def test_a_family_is_one_module_and_one_entry(toy, cache, photos, tmp_path):
    check(spec(toy), "euler")
    assert "toy_family" not in sys.modules
    with pytest.raises(BackboneError, match=r"\(toy\): unknown sampler 'ddim'; known: euler"):
        check(spec(toy), "ddim")
    assert "denoiser" in pipeline_parts()

    method = methods.build(methods.load("dreambooth"), {})
    assert estimate(without_weights(spec(toy)), method, "dog", offloaded=True).gradients > 0

    backbone = load_backbone(spec(toy), cache=cache)
    settings = {"seeds": [0], "sampler": "euler", "steps": 2, "guidance": 2.0}
    before = sample_images(backbone, ["a dog"], **settings)
    fit("dreambooth", backbone, photos)
    tuned = sample_images(backbone, ["a dog"], **settings)
    assert not torch.equal(tuned, before)
    (line,) = export.write(backbone, tmp_path / "out")
    assert line.startswith("pipe.denoiser = ")
    backbone.restore()
    assert torch.equal(sample_images(backbone, ["a dog"], **settings), before)


def test_what_dry_runs_ask_imports_no_torch():
    code = "import sys, harness.diffusion.backbones.checks; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
