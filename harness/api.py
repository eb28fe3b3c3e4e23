"""The nouns that a method sees: subjects, captions, the Lipschitz constraint and what fitting returns.

Also the ranges that hyperparameters may lie in. Imports neither torch nor anything else of the package, so
that every module may import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MinLen, Predicate

if TYPE_CHECKING:
    from PIL.Image import Image


Role = Literal["floor", "method", "ceiling"]
"""What a row of the tables is for: the base model untaught, a method, or photos in place of samples."""


@dataclass(frozen=True)
class Subject:
    """A thing to teach: its name, its class noun and the photos that a method may learn from.

    ``shots`` are RGB images of any size, upright; ``description`` says in words what the subject looks
    like, where the data set knows it (Toybox); ``renderable``: whether it can show the subject as any of its
    prompts asks (Toybox). ``outlines`` draws where each shot shows the subject: grey images of the shots'
    sizes, 255 on the subject and 0 off it; None where the data set does not know (all but Toybox).
    """

    name: str
    category: str
    shots: tuple[Image, ...] = ()
    description: str | None = None
    renderable: bool = False
    outlines: Callable[[], Sequence[Image]] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Prompt:
    """A test prompt: a template with one ``{}`` for the phrase that names the subject.

    ``attributes`` is the ground truth that the prompt asks for (``{"background": "beach"}``), where known.
    """

    template: str
    kind: str = "recontextualization"
    attributes: dict[str, str] = field(default_factory=dict)

    def text(self, phrase: str) -> str:
        """Put the phrase that names the subject into the template."""
        return self.template.replace("{}", phrase)


def checked_template(template: str) -> str:
    """Return a prompt template as it is; ValueError unless it has one ``{}`` and no other brace."""
    if template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
        raise ValueError(
            f"prompt {template!r} needs exactly one {{}} for the subject, and no other placeholder"
        )
    return template


def checked_word(word: str) -> str:
    """Return a word as it is; ValueError if it is empty or blank."""
    if not word.strip():
        raise ValueError("needs a word that is not blank")
    return word


NotEmpty = MinLen(1)
"""At least one element: ``Annotated[tuple[Word, ...], NotEmpty]``."""
Count = Annotated[int, Ge(1)]
"""A whole number of 1 or more: steps, batch, rank."""
Positive = Annotated[float, Gt(0)]
"""A number above 0: a learning rate."""
NonNegative = Annotated[float, Ge(0)]
"""A number of 0 or more: the weight of a loss, weight decay."""
Share = Annotated[float, Gt(0), Le(1)]
"""A part of a whole, above 0 and up to 1."""
Word = Annotated[str, Predicate(checked_word)]
"""A text that is not blank: a token, the name of a layer."""
Template = Annotated[str, Predicate(checked_template)]
"""A caption with one ``{}`` for the subject."""
Norm = Literal["tensor_mean", "sum", "activation", "fisher"]
"""In what the penalty measures a distance from the pretrained weights: see :class:`Lipschitz`."""
LATER = "later"
"""Key in the metadata of a hyperparameter that :func:`later` made."""


def later(default: Any) -> Any:
    """Declare a hyperparameter that a method got after trials of it were recorded.

    ``default`` must mean what the method did before, or the method's version rises with it. At its default
    it is in neither the key nor the record of a trial, so that those of before stay valid; set to anything
    else it is in both.
    """
    return field(default=default, metadata={LATER: True})


@dataclass(frozen=True)
class Lipschitz:
    """A constraint on the distance from the pretrained weights: a penalty (soft), a bound (hard), or both.

    penalty  λ ≥ 0 of the loss term λ·Σ_l penalty(θ_l − θ0_l); ``norm`` says which (arXiv 2505.19519, released
             code): ``tensor_mean``, the mean squared difference of each tensor, summed over tensors; ``sum``,
             the sum of squares; ``activation``, the relative change of layers' outputs on prior prompts;
             ``fisher``, the change of predictions there, each weight by itself (EWC).
    bound    B ≥ 0: after every step Δθ is projected onto the L2 ball of radius B (``relative``: B·‖θ0‖₂ of
             the trained tensors).
    on       for low-rank adapters only: ``effective`` constrains the change B·A of the weights, ``entries``
             the entries of A and B (the authors' form).
    further  keys of other kinds of constraint (:mod:`harness.diffusion.constraints`), empty without them.
    """

    penalty: float | None = None
    norm: Norm = "tensor_mean"
    bound: float | None = None
    relative: bool = False
    on: Literal["effective", "entries"] = "effective"
    further: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Lipschitz:
        """Build from one flat mapping of keys, as records and YAML files have it."""
        own = {each.name for each in fields(cls)} - {"further"}
        return cls(
            **{key: value for key, value in settings.items() if key in own},
            further={key: value for key, value in settings.items() if key not in own},
        )

    def settings(self) -> dict[str, Any]:
        """Write as one flat mapping: what records hold and keys cover."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "further"}
        return {**own, **self.further}


@dataclass(frozen=True)
class Alignment:
    """Learning also to look like the shots: w·(1 − cosine) of features of the predicted clean image.

    weights   w > 0 by kind of encoder (``clip``, ``dino``)
    below     only at noise levels below this share of the schedule, where the prediction shows something
    encoders  kind → model in place of the one that scores: then that score is not given up
    """

    weights: Mapping[str, float] = field(default_factory=dict, hash=False)
    below: float = 0.4
    encoders: Mapping[str, str] = field(default_factory=dict, hash=False)

    def settings(self) -> dict[str, Any]:
        """Write as one flat mapping: what records hold and keys cover."""
        models = {f"{kind}_encoder": model for kind, model in self.encoders.items()}
        return {**self.weights, "below": self.below, **models}

    @property
    def short(self) -> str:
        """Name it in titles: "align DINO 0.1 ‡"."""
        models = {kind: f" by {model}" for kind, model in self.encoders.items()}
        words = [f"{kind.upper()} {weight:g}{models.get(kind, '')}" for kind, weight in self.weights.items()]
        below = "" if self.below == Alignment.below else f" below {self.below:g}"
        return f"align {' + '.join(words)}{below} ‡"


@dataclass(frozen=True)
class Personalized:
    """What it takes to ask the tuned model for the subject: the phrase that stands for it in a prompt."""

    phrase: str


@dataclass(frozen=True)
class Ceiling:
    """Photos of the subject scored in place of samples: as they are, or through the autoencoder.

    ``as_asked``: in place of photos, the subject rendered as each prompt asks, as many images as are sampled.
    """

    through_autoencoder: bool = False
    as_asked: bool = False


Progress = Callable[[str, int, int, float | None], None]
"""Called as ``progress(stage, done, total, latest_loss)`` from inside a trial; must be cheap."""
