"""Wrong gradients, losses and updates under a right forward pass."""

from pathlib import Path

import torch
import torch.nn.functional as F

import archlab_torch.layers as torch_layers
import archlab_torch.norms as torch_norms
import archlab_torch.training as torch_training
from archlab.importing import load_file
from archlab.model import LanguageModel
from archlab.optim.adamw import AdamW
from archlab_torch.optim import Definition

patches = load_file(Path(__file__).with_name("patches.py"))
Fault = patches.Fault
GPT = patches.GPT
SQUARE = patches.SQUARE
RIGHT = torch_training.cross_entropy
forward = patches.forward
function = patches.function


def detached_bias(right):
    return lambda x, weight, bias=None: right(x, weight, None if bias is None else bias.detach())


def untied_gradient(patch):
    """The head reads a copy of the table: only the embedding's own gradient reaches it."""
    right = LanguageModel.logits

    def logits(self, m, x, ctx):
        if not isinstance(x, torch.Tensor):
            return right(self, m, x, ctx)
        return x @ m.embedding.weight.detach().T

    patch.setattr(LanguageModel, "logits", logits)


class Wrong(AdamW):
    """AdamW written differently."""

    abstract = True

    def update(self, xp, p, g, slots, rate, t, decay):
        decay = decay * self.weight_decay
        g = self.gradient(p, g, decay)
        mu = self.beta1 * slots["mu"] + (1 - self.beta1) * g
        nu = self.beta2 * slots["nu"] + (1 - self.beta2) * g * g
        step = self.quotient(mu, nu, t) + self.decay(p, decay)
        return p - rate * step, {"mu": mu, "nu": nu}

    def gradient(self, p, g, decay):
        return g

    def decay(self, p, decay):
        return decay * p

    def quotient(self, mu, nu, t):
        return mu / (1 - self.beta1**t) / ((nu / (1 - self.beta2**t)).sqrt() + self.epsilon)


class EpsilonInside(Wrong):
    """√(ν + ε)."""

    abstract = True

    def quotient(self, mu, nu, t):
        return mu / (1 - self.beta1**t) / (nu / (1 - self.beta2**t) + self.epsilon).sqrt()


class EpsilonBefore(Wrong):
    """ε joins the second moment before its correction."""

    abstract = True

    def quotient(self, mu, nu, t):
        return mu / (1 - self.beta1**t) / ((nu.sqrt() + self.epsilon) / (1 - self.beta2**t) ** 0.5)


class Uncorrected(Wrong):
    """No correction of the moments' bias."""

    abstract = True

    def quotient(self, mu, nu, t):
        return mu / (nu.sqrt() + self.epsilon)


class Coupled(Wrong):
    """Adam: the decay is part of the gradient."""

    abstract = True

    def gradient(self, p, g, decay):
        return g + decay * p

    def decay(self, p, decay):
        return 0.0


class FullDecay(Wrong):
    """The decay is not multiplied by the learning rate."""

    abstract = True

    def update(self, xp, p, g, slots, rate, t, decay):
        new, slots = super().update(xp, p, g, slots, rate, t, decay)
        return new - (1 - rate) * decay * self.weight_decay * p, slots


class Uncounted(Wrong):
    """Every step is the first."""

    abstract = True

    def quotient(self, mu, nu, t):
        return super().quotient(mu, nu, 1)


class Everywhere(Wrong):
    """Norms and biases decay too."""

    abstract = True

    def update(self, xp, p, g, slots, rate, t, decay):
        return super().update(xp, p, g, slots, rate, t, 1.0)


def optimizer(kind):
    """PyTorch updates by another definition."""

    def inject(patch):
        other = lambda spec, params: Definition(kind(**{f: getattr(spec, f) for f in FIELDS}), params)  # noqa: E731
        patch.setattr(torch_training, "rule", other)

    return inject


FIELDS = ("beta1", "beta2", "epsilon", "weight_decay")


def clipped_with_epsilon(patch):
    def clip(self):
        return torch.nn.utils.clip_grad_norm_(self.params, self.clip)

    patch.setattr(torch_training.Trainer, "_clip", clip)


def mean_of_means(logits, targets, how, weights=None):
    """Every row's mean, then their mean: rows with few targets weigh too much."""
    losses = F.cross_entropy(logits.transpose(1, 2), targets.clamp(min=-1), ignore_index=-1, reduction="none")
    counts = (targets >= 0).sum(dim=1).clamp(min=1)
    total = (losses.sum(dim=1) / counts).sum()
    return total, total.detach(), torch.tensor(len(logits))


def all_counted(logits, targets, how, weights=None):
    total, nll, _ = RIGHT(logits, targets, how, weights)
    return total, nll, torch.tensor(targets.numel())


def loss(by):
    return lambda patch: patch.setattr(torch_training, "cross_entropy", by)


def shifted(logits, targets, how, weights=None):
    """Targets that are the next tokens already, shifted once more."""
    later = torch.cat([targets[:, 1:], torch.full_like(targets[:, :1], -1)], dim=1)
    return RIGHT(logits, later, how, weights)


def late_rate(right):
    """The learning rate of the step before."""

    def step(self, batch, rate):
        self.before, now = rate, getattr(self, "before", 0.0)
        return right(self, batch, now)

    return step


def first_rate(right):
    """The schedule is read once."""

    def step(self, batch, rate):
        self.first = getattr(self, "first", rate)
        return right(self, batch, self.first)

    return step


def kept_gradients(right):
    """zero_grad forgotten."""

    def step(self, batch, rate):
        for param, before in getattr(self, "before", []):
            param.grad = before
        backward = self._backward

        def kept(*args):
            loss = backward(*args)
            self.before = [(param, param.grad.clone()) for param in self.params]
            return loss

        self._backward = kept
        try:
            return right(self, batch, rate)
        finally:
            self._backward = backward

    return step


def clipped_alone(patch):
    """Each parameter by its own norm."""

    def clip(self):
        norm = torch.nn.utils.get_total_norm([param.grad for param in self.params])
        for param in self.params:
            param.grad.mul_(torch.clamp(self.clip / param.grad.norm(), max=1.0))
        return norm

    patch.setattr(torch_training.Trainer, "_clip", clip)


def unclipped(patch):
    norm = lambda self: torch.nn.utils.get_total_norm([param.grad for param in self.params])  # noqa: E731
    patch.setattr(torch_training.Trainer, "_clip", norm)


class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad / 2


def halved_scales(right):
    return lambda x, shape, weight, epsilon: right(x, shape, Halved.apply(weight), epsilon)


STEP = torch_training.Trainer
FAULTS = [
    Fault(
        "no gradient of biases",
        function(torch_layers, "linear", detached_bias),
        GPT,
        by="gradients",
        named="no gradient reaches any Linear's bias",
    ),
    Fault(
        "gradient of the tied head lost",
        untied_gradient,
        SQUARE,
        by="gradients",
        named="the tied table gets the gradient of the embedding only",
    ),
    Fault(
        "half the gradient of norms' scales",
        function(torch_norms.F, "rms_norm", halved_scales),
        SQUARE,
        by="gradients",
        named="the gradient of any RMSNorm's scale is halved",
    ),
    Fault("a mean of rows' means", loss(mean_of_means), SQUARE, by="loss", named="a mean of the rows' means"),
    Fault(
        "targets counted that do not count",
        loss(all_counted),
        SQUARE,
        by="loss",
        named="counted in the divisor",
    ),
    Fault("targets shifted twice", loss(shifted), SQUARE, by="loss", named="targets are shifted twice"),
    Fault(
        "Adam's epsilon inside the root",
        optimizer(EpsilonInside),
        SQUARE,
        by="update",
        named="AdamW adds epsilon inside the root",
    ),
    Fault(
        "Adam's epsilon before the correction",
        optimizer(EpsilonBefore),
        SQUARE,
        by="update",
        named="epsilon before the second moment is corrected",
    ),
    Fault(
        "Adam's moments not corrected",
        optimizer(Uncorrected),
        SQUARE,
        by="update",
        named="AdamW's moments are not corrected",
    ),
    Fault("Adam in place of AdamW", optimizer(Coupled), SQUARE, by="update", named="Adam in place of AdamW"),
    Fault(
        "weight decay without the learning rate",
        optimizer(FullDecay),
        SQUARE,
        by="update",
        named="weight decay is not multiplied by the learning rate",
    ),
    Fault(
        "weight decay on norms and biases",
        optimizer(Everywhere),
        GPT,
        by="update",
        named="weight decay applies to norms and biases too",
    ),
    Fault("clipping with an epsilon", clipped_with_epsilon, SQUARE, by="update", named="clip_grad_norm_"),
    Fault("clipping of each parameter alone", clipped_alone, SQUARE, by="update", named="clipped by its own norm"),
    Fault("no clipping", unclipped, SQUARE, by="update", named="gradients are not clipped"),
    Fault(
        "learning rate one step late",
        function(STEP, "step", late_rate),
        SQUARE,
        by="update",
        named="the learning rate is that of the step before",
    ),
    Fault(
        "learning rate of the first step",
        function(STEP, "step", first_rate),
        SQUARE,
        by="training",
        named="the learning rate stays that of the first step",
    ),
    Fault(
        "gradients not cleared",
        function(STEP, "step", kept_gradients),
        SQUARE,
        by="training",
        named="gradients are not cleared between steps",
    ),
    Fault(
        "Adam's steps not counted",
        optimizer(Uncounted),
        SQUARE,
        by="training",
        named="the optimiser does not count its steps",
    ),
]
