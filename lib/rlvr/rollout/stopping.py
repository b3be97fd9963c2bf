"""Stop strings, matched on decoded text, or by id where one is a special token."""

from collections.abc import Sequence, Set

from rlvr.errors import UserError
from rlvr.models.tokenizers import TextTokenizer


class StopStrings:
    """Tells when the newest token completes a stop string, and where in the text that string stands.

    `texts` are the strings matched on text. Decoding leaves special tokens out, so that a string which is one
    could never match: `token_ids` are the ids of those, for the caller to compare.
    """

    def __init__(self, tokenizer: TextTokenizer, stop: Sequence[str]):
        if not all(stop):
            raise UserError("stop: an empty stop string would end every response at once")
        self._tokenizer = tokenizer
        special = {text: _special_token_id(tokenizer, text) for text in stop}
        self.token_ids = frozenset(token for token in special.values() if token is not None)
        self.texts = tuple(text for text, token in special.items() if token is None)
        # A token is at least one byte of text; the rest covers characters cut by the window's edge, and
        # tokens without text of their own (special ones).
        self.window = max((len(text.encode()) for text in self.texts), default=0) + 8

    def places(self, sequences: Sequence[Sequence[int]]) -> list[tuple[int, int] | None]:
        """For each sequence of ids: (start, end) in its text of the stop string that its last token ends.

        Of several the one that ends first, and of those the longest. None where there is no such. One that
        was completed earlier does not count (before `min_tokens`).
        """
        texts = self._tokenizer.batch_decode(sequences, skip_special_tokens=True)
        before = self._tokenizer.batch_decode([ids[:-1] for ids in sequences], skip_special_tokens=True)
        return [self._place(old, new) for old, new in zip(before, texts, strict=True)]

    def response_texts(
        self, responses: Sequence[tuple[tuple[int, ...], bool]], end_ids: Set[int], keep_stop: bool
    ) -> list[str]:
        """The text of each response, (token ids, whether it stopped), without special tokens.

        One that a stop string ended, and none of `end_ids`, is cut behind the string, or before it. Equal
        responses are decoded once.
        """
        distinct = list(dict.fromkeys(responses))
        decoded = self._tokenizer.batch_decode([list(ids) for ids, _ in distinct], skip_special_tokens=True)
        texts = dict(zip(distinct, decoded, strict=True))
        if self.texts:
            cut = [(ids, stopped) for ids, stopped in distinct if stopped and ids[-1] not in end_ids]
            for key, place in zip(cut, self.places([list(ids) for ids, _ in cut]), strict=True):
                assert place is not None  # a stop string ended it
                start, end = place
                texts[key] = texts[key][: end if keep_stop else start]
        return [texts[response] for response in responses]

    def _place(self, before: str, text: str) -> tuple[int, int] | None:
        places = []
        for stop in self.texts:
            # A match must reach beyond the text before; a half character at its end (U+FFFD) is not text yet.
            found = text.find(stop, max(0, len(before.rstrip("\ufffd")) - len(stop) + 1))
            if found >= 0:
                places.append((found, found + len(stop)))
        return min(places, key=lambda place: (place[1], place[0]), default=None)


def _special_token_id(tokenizer: TextTokenizer, text: str) -> int | None:
    """Id of the special token that the text is; None for any other text."""
    token = tokenizer.convert_tokens_to_ids(text)
    if token is None or tokenizer.decode([token]) != text:  # unknown, or a token's internal spelling
        return None
    return None if tokenizer.decode([token], skip_special_tokens=True) else token
