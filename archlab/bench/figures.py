"""What is measured, and what follows from it."""

from dataclasses import dataclass, field
from functools import cached_property

from archlab.accelerators import peak_flops
from archlab.accounting import account
from archlab.backends import Spent
from archlab.bench import decoding
from archlab.bench.contestant import Begun
from archlab.bench.decoding import Decoded
from archlab.bench.rounds import Summary, summary
from archlab.bench.subject import Subject, places, sequences
from archlab.run_config import RunConfig
from archlab.training import memory


@dataclass(kw_only=True)
class Measured:
    """A subject's measurements; the rest is worked out from them.

    rounds
        Seconds a step, ``steps`` of them a round.
    convention, peak_tflops
        How FLOPs are counted, and what one device can do at most where its user says so.
    memory
        Bytes after training, see :func:`archlab.training.memory.measure`.
    spent, profiled
        The operations of ``profiled`` steps, the dearest first.
    decoded
        By batch, the rounds of decoding; ``bandwidth`` in bytes a second is there where anything was decoded.
    """

    subject: Subject
    run: RunConfig
    begun: Begun
    convention: str
    peak_tflops: float | None
    steps: int
    rounds: list[float] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    spent: list[Spent] = field(default_factory=list)
    profiled: int = 0
    decoded: dict[int, list[Decoded]] = field(default_factory=dict)
    bandwidth: float | None = None

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def device(self) -> str:
        """What its framework calls the device; "cpu" also where the policy asks for it beside an accelerator."""
        return "cpu" if self.run.policy.device == "cpu" else self.begun.environment["device"]

    @cached_property
    def length(self) -> int:
        """Places of a row that have a target."""
        return places(self.run)

    @property
    def tokens(self) -> int:
        """Of a step: all places that have a target."""
        return self.run.data.batch * self.length

    @property
    def seconds(self) -> Summary:
        """A step's."""
        return summary(self.rounds)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds.median

    @cached_property
    def flops_per_token(self) -> dict[str, float]:
        """Of a training step by convention, forward and backward; recomputation is not included."""
        return account(self.run.model, self.length).training_flops()

    @property
    def flops(self) -> float | None:
        """FLOP/s of the model in the chosen convention; None where a source is of another length than counted."""
        if len(set(sequences(self.run).values())) > 1:
            return None
        return self.tokens_per_second * self.flops_per_token[self.convention]

    @property
    def peak(self) -> float | None:
        """FLOP/s of all devices at most, as given or as published; None where neither is."""
        if self.peak_tflops is not None:
            return 1e12 * self.peak_tflops * self.run.policy.mesh.size
        return peak_flops(self.device, self.run.policy)

    @property
    def mfu(self) -> float | None:
        return None if self.peak is None or self.flops is None else self.flops / self.peak

    @property
    def compile_seconds(self) -> float:
        """What the first step took longer than a step of the rounds."""
        return self.begun.first - self.seconds.median

    @cached_property
    def estimated(self) -> dict[str, int]:
        """Bytes of a training step by category, see :func:`archlab.training.memory.estimate`."""
        return memory.estimate(self.run)

    def written(self, batch: int) -> Summary:
        """Tokens a second that are written at a batch, all sequences together."""
        return summary([batch / decoded.token for decoded in self.decoded[batch]])

    def read(self, batch: int) -> Summary:
        """Tokens a second of the prompts."""
        prompt, _ = decoding.spans(self.run)
        return summary([batch * prompt / decoded.prefill for decoded in self.decoded[batch]])

    def bound(self, batch: int) -> float | None:
        """Tokens a second at which the least bytes that must be read take all of the bandwidth."""
        if self.bandwidth is None:
            return None
        return batch * self.bandwidth / decoding.least_bytes(self.run, batch)
