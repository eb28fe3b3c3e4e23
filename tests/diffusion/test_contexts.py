"""Keys and values of a context are computed once a sampling run, and the images are the same bits."""

import pytest
import torch
from torch import nn

from harness.diffusion import contexts
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.contexts import Remembered, projections, remembered_contexts
from harness.diffusion.sampling import sample


@pytest.fixture(scope="module")
def backbone(tiny_sd, cache):
    return load_backbone(str(tiny_sd), cache=cache)


def drawn(backbone):
    prompts = ["a photo of a dog", "a red mug"]
    return sample(backbone, prompts, seeds=[1, 2], sampler="ddim", steps=3, guidance=5.0)


def test_every_projection_of_a_context_is_computed_once_and_no_bit_changes(backbone, monkeypatch):
    layers = projections(backbone.networks.denoiser)
    computed = []

    def counted(number, forward):
        return lambda given: computed.append(number) or forward(given)

    for number, layer in enumerate(layers):
        monkeypatch.setattr(layer, "forward", counted(number, layer.forward))
    remembered = drawn(backbone)
    assert len(layers) > 0 and sorted(computed) == list(range(len(layers)))
    monkeypatch.setattr(contexts, "projections", lambda denoiser: [])
    assert torch.equal(drawn(backbone), remembered)
    assert len(computed) == 4 * len(layers)


def test_another_context_is_projected_anew():
    layer = nn.Linear(2, 2)
    seen = []
    remembered = Remembered(lambda given: seen.append(given) or layer(given))
    first, second = torch.zeros(1, 2), torch.zeros(1, 2)
    results = [remembered(given) for given in (first, first, second, first)]
    assert [each is first for each in seen] == [True, False, True]
    assert results[0] is results[1] and torch.equal(results[2], layer(second))


def test_what_depends_on_time_is_not_remembered_and_an_error_leaves_no_trace():
    class Crossing(nn.Module):
        is_cross_attention = True

        def __init__(self):
            super().__init__()
            self.to_k, self.to_v = nn.Linear(2, 2), nn.Linear(2, 2)

    crossing = Crossing()
    crossing.to_v.depends_on_time = True
    own = crossing.to_k.forward = lambda given: given
    with pytest.raises(RuntimeError, match="stop"), remembered_contexts(crossing):
        assert isinstance(crossing.to_k.forward, Remembered)
        assert "forward" not in vars(crossing.to_v)
        raise RuntimeError("stop")
    assert crossing.to_k.forward is own
