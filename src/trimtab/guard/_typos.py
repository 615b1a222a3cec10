"""Words of injections with a letter left out, doubled or swapped with its neighbour, as they were meant."""

import re
from functools import cache

WORDS = (
    "ignore", "ignoring", "disregard", "forget", "override", "bypass", "previous", "preceding", "earlier", "original",
    "initial", "instruction", "instructions", "directives", "guidelines", "prompt", "prompts", "system", "developer",
    "programming", "restrictions", "limitations", "filters", "censorship", "unfiltered", "uncensored", "unrestricted",
    "unethical", "immoral", "amoral", "illegal", "ethical", "moral", "policies", "openai", "jailbreak", "jailbroken",
    "character", "pretend", "anything", "everything", "reveal", "repeat", "refuse", "response", "responses", "answer",
    "answers", "without", "conversation", "confidential", "password", "credentials", "assistant", "regardless",
)  # fmt: skip
OTHER = frozenset(
    {"forge", "reval", "refuse", "reuse", "repeal", "marl", "anser", "filer", "filers", "filter", "mortal"}
)
"""Words that are meant as they stand."""
WORD = re.compile(r"[a-z]{4,15}")


@cache
def _variants() -> dict[str, str]:
    found: dict[str, str] = {}
    for word in WORDS:
        for i in range(len(word)):
            found[word[:i] + word[i + 1 :]] = word
            found[word[:i] + word[i] + word[i:]] = word
            found[word[:i] + word[i + 1 : i + 2] + word[i] + word[i + 2 :]] = word
    plain = {word for word in found if word in WORDS or word in OTHER or f"{word}s" in WORDS or f"{word}d" in WORDS}
    return {wrong: word for wrong, word in found.items() if wrong not in plain and len(wrong) > 3}


def mended(normal: str) -> str:
    """`normal`, a text in its one spelling, with such words put right; the same text where there is none."""
    wrong = _variants()
    if wrong.keys().isdisjoint(WORD.findall(normal)):
        return normal
    return WORD.sub(lambda word: wrong.get(word[0], word[0]), normal)
