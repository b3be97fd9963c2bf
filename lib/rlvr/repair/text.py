"""Texts of an untrusted hand, made fit for files, logs and tables."""


def storable(text: str) -> str:
    """The text with halves of surrogate pairs spelled out, which JSON can spell and UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(text: str, limit: int) -> str:
    """At most `limit` characters, with everything that is not printable spelled out, line breaks too."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[:limit]
    )
