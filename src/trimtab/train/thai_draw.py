"""Draws Thai texts with their names: sentences of our own, filled with names of Faker's and made-up ones.

Words and syllables are PyThaiNLP's (CC0), names Faker's (MIT) and of the morphemes in `thai_words`.
"""

# ruff: noqa: S311, SIM905 - seeded draws, lists of words
# pyright: reportMissingImports=false
import random
import re
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from trimtab.train import thai_words as ours
from trimtab.train.thai_harmless import HARMLESS
from trimtab.train.thai_texts import NAMED

SLOT = re.compile(r"\{([A-Z]+)\}")
THAI = re.compile(r"[\u0e01-\u0e4e]{2,}")
NAMES = frozenset({"NAME", "CALL", "FULL", "FIRST", "LAST"})
KIND = {**dict.fromkeys(NAMES, "PERSON"), "ADDR": "ADDRESS", "ORG": "ORGANIZATION"}
CALIBRATES = 5
"""One template in so many is for calibration alone."""


class Drawn(NamedTuple):
    """A text, and its (kind, start, end)."""

    text: str
    spans: list[tuple[str, int, int]]


class Lists(NamedTuple):
    """PyThaiNLP's words, syllables, and words with how often they are written."""

    words: list[str]
    syllables: list[str]
    written: list[str]
    counts: list[int]
    countries: list[str]
    provinces: list[str]

    @classmethod
    def read(cls, corpus: Path) -> "Lists":
        """The lists in a folder of PyThaiNLP's. No word that is a name of ours is among those of harmless texts."""
        from faker.providers.person.th_TH import Provider

        names = {*Provider.first_names, *Provider.last_names, *ours.GIVEN}

        def lines(name: str) -> list[str]:
            return [line.strip() for line in (corpus / name).read_text("utf-8").split("\n") if line.strip()]

        pairs = [line.split("\t") for line in lines("tnc_freq.txt")]
        counted = [(word, int(count)) for word, count in pairs if THAI.fullmatch(word) and word not in names]
        counted.sort(key=lambda one: -one[1])
        written, counts = zip(*counted[:20_000], strict=True)
        words = [word for word in lines("words_th.txt") if THAI.fullmatch(word)]
        return cls(
            words, [one for one in lines("syllables_th.txt") if THAI.fullmatch(one)], list(written), list(counts),
            lines("countries_th.txt"), [line.split(",")[0] for line in lines("thailand_provinces_th.csv")],
        )  # fmt: skip


class Drawing:
    """Draws texts of one part of the templates, `train` or `calibrate`; the same for the same seed."""

    def __init__(self, lists: Lists, part: str, seed: int) -> None:
        from faker.providers.person.th_TH import Provider

        self._lists, self._random = lists, random.Random(f"{part} {seed}")
        self._weights = list(accumulate(count**0.7 for count in lists.counts))
        known = {*Provider.first_names, *Provider.last_names, *ours.GIVEN}
        self._things = [word for word in lists.words if len(word) < 16 and word not in known]
        self._given, self._family = (
            _part(sorted({*names}), part) for names in ((*Provider.first_names, *ours.GIVEN), Provider.last_names)
        )
        self._named, self._harmless = _part(NAMED, part), _part(HARMLESS, part)

    def text(self) -> Drawn:
        """Some sentences, two in five with names, in any order."""
        roll, text, spans = self._random, "", []
        share = roll.choice((0.0, 0.3, 0.5, 0.8))
        for _ in range(roll.choice((1, 1, 1, 2, 2, 3, 4))):
            one = self._filled(roll.choice(self._named if roll.random() < share else self._harmless))
            text += roll.choice((" ", " ", " ", "", "\n", "  ")) if text else ""
            spans += [(kind, start + len(text), end + len(text)) for kind, start, end in one.spans]
            text += one.text
        if roll.random() < 0.05 and not spans:
            text = text.replace(" ", "")
        return Drawn(text, spans)

    def _filled(self, template: str) -> Drawn:
        text, spans, at = "", [], 0
        template = template.replace("\\n", "\n").replace("\\t", "\t")
        for slot in SLOT.finditer(template):
            text += template[at : slot.start()]
            at = slot.end()
            value = self._value(slot[1])
            spans += [(kind, start + len(text), end + len(text)) for kind, start, end in value.spans]
            text += value.text
        return Drawn(text + template[at:], spans)

    def _value(self, slot: str) -> Drawn:
        if slot == "HARMLESS":
            return self._filled(self._random.choice(self._harmless))
        title = self._title(slot)
        said = title + getattr(self, f"_{slot.lower()}")()
        kind = KIND.get(slot)
        return Drawn(said, [(kind, len(title), len(said))] if kind else [])

    def _title(self, slot: str) -> str:
        roll = self._random
        if slot == "CALL":
            title = roll.choice(ours.KIN) if roll.random() < 0.7 else roll.choice(ours.TITLES)
        elif slot == "NAME" and roll.random() < 0.75:
            title = roll.choice(ours.TITLES)
        else:
            return ""
        return title + " " * (roll.random() < 0.15 or (title[-1] == "." and roll.random() < 0.2))

    def _name(self) -> str:
        return self._full() if self._random.random() < 0.85 else self._first()

    def _call(self) -> str:
        roll = self._random.random()
        return self._nick() if roll < 0.45 else self._first() if roll < 0.85 else self._full()

    def _full(self) -> str:
        roll = self._random
        draw = roll.random()
        if draw < 0.06:
            return roll.choice(ours.FOREIGN).replace("|", " ")
        gap = roll.choice((" ", " ", " ", " ", " ", "  ", ""))
        if draw < 0.1:
            return self._first() + " " + self._last()[0] + "."
        return self._first() + gap + self._last() + (f" ({self._nick()})" if draw > 0.97 else "")

    def _first(self) -> str:
        roll = self._random
        draw = roll.random()
        if draw < 0.4:
            return roll.choice(self._given)
        if draw < 0.75:
            return roll.choice(ours.GIVEN_HEADS) + roll.choice(ours.GIVEN_TAILS)
        if draw < 0.8:
            return roll.choice(ours.FOREIGN).split("|")[0]
        return self._nick() if draw < 0.93 else self._new()

    def _nick(self) -> str:
        roll = self._random
        return roll.choice(ours.NICKNAMES) if roll.random() < 0.75 else roll.choice(self._lists.syllables)

    def _last(self) -> str:
        roll = self._random
        draw = roll.random()
        if draw < 0.2:
            return roll.choice(self._family)
        if draw < 0.75:
            middle = roll.choice((*ours.FAMILY_TAILS, *ours.FAMILY_HEADS)) if roll.random() < 0.35 else ""
            return roll.choice(ours.FAMILY_HEADS) + middle + roll.choice(ours.FAMILY_TAILS)
        if draw < 0.8:
            return roll.choice(ours.CLANS)
        if draw < 0.83:
            return "ณ " + roll.choice(self._lists.provinces)
        if draw < 0.9:
            return roll.choice(self._things) + roll.choice(ours.FAMILY_TAILS)
        return self._new()

    def _new(self) -> str:
        return "".join(self._random.choice(self._lists.syllables) for _ in range(self._random.choice((2, 2, 3, 3, 4))))

    def _addr(self) -> str:
        roll = self._random
        house = roll.choice((f"{roll.randint(1, 999)}", f"{roll.randint(1, 999)}/{roll.randint(1, 99)}"))
        parts = [roll.choice(("", "", "", "บ้านเลขที่ ", "เลขที่ ")) + house]
        if roll.random() < 0.35:
            parts.append(roll.choice(("หมู่ ", "ม.", "หมู่ที่ ", "ม. ")) + str(roll.randint(1, 15)))
        if roll.random() < 0.35:
            parts.append(roll.choice(ours.ESTATES) + self._place())
        if roll.random() < 0.5:
            parts.append(
                roll.choice(("ซอย", "ซ.", "ซอย ")) + self._road() + roll.choice(("", f" {roll.randint(1, 99)}"))
            )
        if roll.random() < 0.7:
            parts.append(roll.choice(("ถนน", "ถ.", "ถนน ")) + self._road())
        if roll.random() < 0.9:
            small, large = roll.choice((("ตำบล", "อำเภอ"), ("ต.", "อ."), ("แขวง", "เขต"), ("", "")))
            parts += [small + self._place(), large + self._place()][roll.random() < 0.2 :]
            parts.append(
                roll.choice(("", "", "จังหวัด", "จ.")) + roll.choice((*self._lists.provinces, *["กรุงเทพฯ"] * 15))
            )
        if roll.random() < 0.75:
            parts.append(str(roll.randint(10, 96)) + f"{roll.randint(0, 99):02}0")
        return roll.choice((" ", " ", " ", ", ")).join(parts)

    def _road(self) -> str:
        return self._random.choice(ours.ROADS) if self._random.random() < 0.6 else self._last()

    def _org(self) -> str:
        roll = self._random
        firm = roll.choice(ours.FIRMS)
        body = roll.choice((self._last, self._new, self._thing))() + (
            roll.choice(ours.TRADES) if roll.random() < 0.6 else ""
        )
        gap = " " if firm == "บริษัท" and roll.random() < 0.7 else ""
        return (
            firm
            + gap
            + body
            + ((roll.choice((" ", "")) + roll.choice(("จำกัด", "จำกัด", "จำกัด (มหาชน)"))) * (firm == "บริษัท"))
        )

    def _place(self) -> str:
        draw = self._random.random()
        return self._random.choice(ours.PLACES if draw < 0.5 else self._lists.provinces) if draw < 0.8 else self._new()

    def _country(self) -> str:
        return self._random.choice(self._lists.countries)

    def _thing(self) -> str:
        roll = self._random
        return "".join(roll.choice(self._things) for _ in range(roll.choice((1, 1, 1, 2))))

    def _string(self) -> str:
        roll, text = self._random, ""
        usual = roll.random() < 0.75
        for _ in range(roll.randint(2, 16)):
            word = (
                roll.choices(self._lists.written, cum_weights=self._weights)[0] if usual else roll.choice(self._things)
            )
            text += " " * (roll.random() < 0.1 and bool(text)) + word
            if roll.random() < 0.06:
                text += roll.choice(
                    (roll.choice(ours.LOANS), f" {roll.choice(ours.LATIN)} ", f" {self._no()} ", "ๆ ", "ฯ ")
                )
        return text

    def _loan(self) -> str:
        return self._random.choice(ours.LOANS)

    def _latin(self) -> str:
        return " ".join(self._random.choice(ours.LATIN) for _ in range(self._random.choice((1, 1, 1, 2))))

    def _brand(self) -> str:
        return self._random.choice(ours.BRANDS)

    def _i(self) -> str:
        return self._random.choice(ours.PRONOUNS)

    def _p(self) -> str:
        return self._random.choice(ours.POLITE)

    def _no(self) -> str:
        return str(self._random.randint(1, 10 ** self._random.randint(1, 7)))

    def _tel(self) -> str:
        digits = f"0{self._random.randint(2, 9)}{self._random.randint(0, 99_999_999):08}"
        return self._random.choice((digits, f"{digits[:3]}-{digits[3:6]}-{digits[6:]}", f"{digits[:3]} {digits[3:]}"))

    def _mail(self) -> str:
        return "".join(self._random.choices("abcdefghijklmnoprstuvw", k=7)) + "@example.com"

    def _day(self) -> str:
        roll = self._random
        month = roll.choice("มกราคม กุมภาพันธ์ มีนาคม เมษายน พฤษภาคม มิถุนายน ก.ค. ส.ค. ก.ย. ตุลาคม พ.ย. ธันวาคม".split())
        day = f"{roll.randint(1, 28)} {month} {roll.randint(2440, 2569)}"
        return roll.choice(
            (day, day, f"{roll.randint(1, 28)}/{roll.randint(1, 12)}/{roll.randint(2530, 2569)}", "จันทร์", "ศุกร์")
        )


def _part(items: Sequence[Any], part: str) -> list[Any]:
    """A fifth of the items calibrates; which, their order says."""
    return [one for at, one in enumerate(items) if (at % CALIBRATES == 2) == (part == "calibrate")]
