"""Wrong gradients, losses and updates under a right forward pass."""

from pathlib import Path

import torch
import torch.nn.functional as F

import archlab_torch.layers as torch_layers
import archlab_torch.training as torch_training
from archlab.importing import load_file
from archlab.model import LanguageModel
from archlab.optim.adamw import AdamW
from archlab_torch.optim import rule

patches = load_file(Path(__file__).with_name("patches.py"))
Fault = patches.Fault
GPT = patches.GPT
SQUARE = patches.SQUARE
forward = patches.forward
function = patches.function


def detached_bias(right, self, x, ctx):
    return right(self, x, ctx) if self.bias is None else F.linear(x, self.weight, self.bias.detach())


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

    def update(self, xp, p, g, slots, rate, t, decays):
        g, decay = self.gradient(p, g, decays), self.weight_decay if decays else 0.0
        mu = self.beta1 * slots["mu"] + (1 - self.beta1) * g
        nu = self.beta2 * slots["nu"] + (1 - self.beta2) * g * g
        step = self.quotient(mu, nu, t) + self.decay(p, decay)
        return p - rate * step, {"mu": mu, "nu": nu}

    def gradient(self, p, g, decays):
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


class Uncorrected(Wrong):
    """No correction of the moments' bias."""

    abstract = True

    def quotient(self, mu, nu, t):
        return mu / (nu.sqrt() + self.epsilon)


class Coupled(Wrong):
    """Adam: the decay is part of the gradient."""

    abstract = True

    def gradient(self, p, g, decays):
        return g + self.weight_decay * p if decays else g

    def decay(self, p, decay):
        return 0.0


class Everywhere(Wrong):
    """Norms and biases decay too."""

    abstract = True

    def decays(self, param):
        return True


def optimizer(kind):
    """PyTorch updates by another definition."""

    def inject(patch):
        definition = rule.dispatch(object)
        other = lambda spec, slots: definition(kind(**{f: getattr(spec, f) for f in FIELDS}), slots)  # noqa: E731
        patch.setattr(torch_training, "rule", other)

    return inject


FIELDS = ("beta1", "beta2", "epsilon", "weight_decay")


def clipped_with_epsilon(patch):
    def clip(self):
        return torch.nn.utils.clip_grad_norm_(self.params, self.clip)

    patch.setattr(torch_training.Trainer, "_clip", clip)


def mean_of_means(logits, targets):
    """Every row's mean, then their mean: rows with few targets weigh too much."""
    losses = F.cross_entropy(logits.transpose(1, 2), targets.clamp(min=-1), ignore_index=-1, reduction="none")
    counts = (targets >= 0).sum(dim=1).clamp(min=1)
    return (losses.sum(dim=1) / counts).sum(), torch.tensor(len(logits))


def all_counted(logits, targets):
    total = F.cross_entropy(logits.flatten(0, 1), targets.flatten().clamp(min=-1), ignore_index=-1, reduction="sum")
    return total, torch.tensor(targets.numel())


def loss(by):
    return lambda patch: patch.setattr(torch_training, "cross_entropy", by)


def later_rate(right):
    """The learning rate of the step before."""
    return lambda self, batch, rate: right(self, batch, rate * 0.999)


FAULTS = [
    Fault("no gradient of biases", forward(torch_layers.Linear, detached_bias), GPT, by="gradients"),
    Fault("gradient of the tied head lost", untied_gradient, SQUARE, by="gradients"),
    Fault("Adam's epsilon inside the root", optimizer(EpsilonInside), SQUARE, by="update"),
    Fault("Adam's moments not corrected", optimizer(Uncorrected), SQUARE, by="update"),
    Fault("Adam in place of AdamW", optimizer(Coupled), SQUARE, by="update"),
    Fault("weight decay on norms and biases", optimizer(Everywhere), GPT, by="update"),
    Fault("clipping with an epsilon", clipped_with_epsilon, SQUARE, by="update"),
    Fault("a mean of rows' means", loss(mean_of_means), SQUARE, by="update"),
    Fault("targets counted that do not count", loss(all_counted), SQUARE, by="training"),
    Fault("learning rate one step late", function(torch_training.Trainer, "step", later_rate), SQUARE, by="update"),
]
