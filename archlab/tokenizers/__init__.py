"""Text to tokens and back. All of it saves to and loads from a Hugging Face ``tokenizer.json``."""

from typing import TYPE_CHECKING

from archlab.importing import doors
from archlab.tokenizers.tokenizer import LearnedTokenizer, Tokenizer
from archlab.tokenizers.trained import TrainedTokenizer

if TYPE_CHECKING:
    from archlab.tokenizers.bpe import BPETokenizer
    from archlab.tokenizers.byte import ByteTokenizer
    from archlab.tokenizers.char import CharTokenizer
    from archlab.tokenizers.loading import load_tokenizer
    from archlab.tokenizers.normaliser import Normaliser
    from archlab.tokenizers.saved import SavedTokenizer
    from archlab.tokenizers.unigram import UnigramTokenizer
    from archlab.tokenizers.word import WordTokenizer
    from archlab.tokenizers.wordpiece import WordPieceTokenizer

__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "LearnedTokenizer",
    "Normaliser",
    "SavedTokenizer",
    "Tokenizer",
    "TrainedTokenizer",
    "UnigramTokenizer",
    "WordPieceTokenizer",
    "WordTokenizer",
    "load_tokenizer",
]

_DOORS = {  # `import archlab` needs no kind
    "BPETokenizer": "archlab.tokenizers.bpe",
    "ByteTokenizer": "archlab.tokenizers.byte",
    "CharTokenizer": "archlab.tokenizers.char",
    "Normaliser": "archlab.tokenizers.normaliser",
    "SavedTokenizer": "archlab.tokenizers.saved",
    "UnigramTokenizer": "archlab.tokenizers.unigram",
    "WordPieceTokenizer": "archlab.tokenizers.wordpiece",
    "WordTokenizer": "archlab.tokenizers.word",
    "load_tokenizer": "archlab.tokenizers.loading",
}

__getattr__ = doors(__name__, _DOORS)
