"""What the heads that ship say of one question: its subject, its field and how hard it is, from one reading."""

from typing import NamedTuple

from trimtab.odds import difficulty, fitted, subject
from trimtab.odds.ridge import Matrix


class About(NamedTuple):
    """Chances by name, each group adding up to 1, and the share of small models that would be wrong."""

    subject: dict[str, float]
    field: dict[str, float]
    difficulty: float

    def likeliest(self) -> dict[str, str | float]:
        """In a word each, as signals of the request."""
        names = {name: max(chances, key=lambda one: chances[one]) for name, chances in
                 (("subject", self.subject), ("field", self.field))}  # fmt: skip
        return {**names, "difficulty": round(self.difficulty, 3)}


def about(gist: Matrix, asked: str) -> About:
    """From the gist (dims,) of a question and its text. Raises `ConfigError` where a head is broken."""
    row, heads = fitted.features(gist, asked)[None], subject.shipped()
    chances = row[0, : subject.SUBJECTS + subject.FIELDS].tolist()
    return About(
        dict(zip(heads.subject.names, chances[: subject.SUBJECTS], strict=True)),
        dict(zip(heads.field.names, chances[subject.SUBJECTS :], strict=True)),
        float(difficulty.shipped().chance(row)[0]),
    )
