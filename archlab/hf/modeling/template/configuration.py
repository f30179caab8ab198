"""What the model is, for transformers"""

from typing import Any

from transformers import PreTrainedConfig


class ArchlabConfig(PreTrainedConfig):
    """``spec`` is the architecture; all else is what the library asks of a configuration.

    ``seed`` draws the first weights of a model that is made without any.
    """

    model_type = "archlab"

    def __init__(self, spec: Any = None, seed: int = 0, **kwargs: Any) -> None:
        self.spec, self.seed = spec, seed
        super().__init__(**kwargs)
