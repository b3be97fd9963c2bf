"""Small from-scratch tokenizers, and a light reader for them.

All are ordinary `tokenizer.json` files, which transformers' AutoTokenizer loads too; reading them with the
`tokenizers` library alone spares each job the seconds that importing transformers' tokenizers takes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, Self

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from rlvr.data.families import CHARACTERS
from rlvr.errors import UserError
from rlvr.files import read_json, write_json

PAD_TOKEN = "<|pad|>"
EOS_TOKEN = "<|eos|>"
# What the formats of r1_zero and question_only need beside CHARACTERS, in the order of the ids.
TAGS = ("<think>", "</think>", " ", "<answer>", "</answer>", r"\boxed{", "}")
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


class AnyTokenizer(Protocol):
    """What this package needs of a tokenizer; transformers' own have it all."""

    pad_token_id: int | None
    eos_token_id: int | None

    def __len__(self) -> int: ...

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text, with BOS and the like where the tokenizer has them and they are asked for."""

    def convert_tokens_to_ids(self, tokens: str) -> int | None:
        """Id of one token by its name; None, or the id of the unknown token, if there is none."""

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Text of one sequence."""

    def batch_decode(
        self, sequences: Sequence[Sequence[int]], skip_special_tokens: bool = False
    ) -> list[str]:
        """Texts of many sequences."""

    def save_pretrained(self, save_directory: str) -> object:
        """Write the tokenizer's files into an existing folder."""


class TextTokenizer(AnyTokenizer, Protocol):
    """A tokenizer with a pad and an EOS token, as `rlvr.models.loading.load_tokenizer` returns."""

    pad_token_id: int
    eos_token_id: int


def _known_id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    assert found is not None, f"the tokenizer has no token {token}"
    return found


class SmallTokenizer:
    """A `TextTokenizer` over one `tokenizers.Tokenizer`; text that spells a special token stays text."""

    def __init__(self, tokenizer: Tokenizer, pad_token: str = PAD_TOKEN, eos_token: str = EOS_TOKEN):
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True
        self._special = {"pad_token": pad_token, "eos_token": eos_token}
        self.pad_token_id = _known_id(tokenizer, pad_token)
        self.eos_token_id = _known_id(tokenizer, eos_token)

    @classmethod
    def read(cls, folder: str | Path) -> Self | None:
        """The tokenizer that `save_pretrained` wrote to the folder; None for any other kind."""
        folder = Path(folder)
        if not (folder / TOKENIZER_CONFIG_FILE).is_file() or not (folder / TOKENIZER_FILE).is_file():
            return None
        facts = read_json(folder / TOKENIZER_CONFIG_FILE)
        if not facts.get("rlvr_small_tokenizer", False):
            return None
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        return cls(tokenizer, facts["pad_token"], facts["eos_token"])

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids; a character outside the alphabet is a UserError. (There are no tokens to add.)"""
        ids = self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        if self.decode(ids) != text:  # what has no token was passed over
            unknown = ", ".join(map(repr, self._without_token(text)))
            raise UserError(
                f"the tokenizer has no token for {unknown} in {text[:80]!r}; "
                "base.tokenizer: tagged has the tags of r1_zero, bytes encodes any text"
            )
        return ids

    def _without_token(self, text: str) -> list[str]:
        """The characters of a text that are no token of their own, sorted."""
        alphabet = {self.decode([index]) for index in range(len(self))}
        return sorted({character for character in text if character not in alphabet})

    def convert_tokens_to_ids(self, tokens: str) -> int | None:
        """Id of one token by its name, special tokens included; None if there is none."""
        return self._tokenizer.token_to_id(tokens)

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Text of one sequence; bytes that are not UTF-8 become U+FFFD."""
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=skip_special_tokens)

    def batch_decode(
        self, sequences: Sequence[Sequence[int]], skip_special_tokens: bool = False
    ) -> list[str]:
        """Texts of many sequences."""
        return self._tokenizer.decode_batch(
            [list(sequence) for sequence in sequences], skip_special_tokens=skip_special_tokens
        )

    def save_pretrained(self, save_directory: str) -> None:
        """Write tokenizer.json and the tokenizer_config.json that AutoTokenizer reads."""
        self._tokenizer.save(str(Path(save_directory) / TOKENIZER_FILE))
        facts = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "padding_side": "right",
            "unk_token": None,  # else transformers adds one, past the model's vocabulary
            "rlvr_small_tokenizer": True,
        }
        write_json(Path(save_directory) / TOKENIZER_CONFIG_FILE, facts | self._special)


def character_tokenizer() -> SmallTokenizer:
    """One token a character of the embedded families' alphabet: pad 0, eos 1, then CHARACTERS; no BOS."""
    return _one_token_a_byte([PAD_TOKEN, EOS_TOKEN, *CHARACTERS])


def byte_tokenizer() -> SmallTokenizer:
    """One token a UTF-8 byte (ids 0 to 255 are the bytes), pad 256, eos 257; any text round-trips; no BOS."""
    return _one_token_a_byte([*_byte_characters(), PAD_TOKEN, EOS_TOKEN])


def tagged_tokenizer() -> SmallTokenizer:
    """The character tokenizer's ids, then one token for each of TAGS; no BOS.

    The tags are ordinary text, not special tokens: they stay in decoded responses, where rewards look for
    them and stop strings are matched.
    """
    spelled = [_byte_characters()[ord(" ")] if tag == " " else tag for tag in TAGS]
    return _one_token_a_byte([PAD_TOKEN, EOS_TOKEN, *CHARACTERS, *spelled], whole=TAGS)


def _one_token_a_byte(tokens: Sequence[str], whole: Sequence[str] = ()) -> SmallTokenizer:
    """Byte-level BPE without merges: the one kind that AutoTokenizer reads alike for a `qwen2` config.

    Those of `whole` that are longer than a character are found in a text before it is cut into bytes.

    transformers 5 rebuilds that tokenizer from vocabulary and merges, whatever tokenizer.json says beside
    them, with NFC normalisation and a split into words; without merges, words change nothing.
    """
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([PAD_TOKEN, EOS_TOKEN])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in whole if len(token) > 1])
    return SmallTokenizer(tokenizer)


def _byte_characters() -> list[str]:
    """The printable stand-in of each byte in GPT-2's byte-level alphabet (Radford et al. 2019).

    Printable Latin-1 characters stand for themselves, the other bytes for U+0100 upwards in order.
    """
    ranges = (("!", "~"), ("¡", "¬"), ("®", "ÿ"))
    printable = {byte for first, last in ranges for byte in range(ord(first), ord(last) + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def small_tokenizer(name: Literal["characters", "bytes", "tagged"]) -> SmallTokenizer:
    """The tokenizer that `base.tokenizer` names."""
    return {"characters": character_tokenizer, "bytes": byte_tokenizer, "tagged": tagged_tokenizer}[name]()
