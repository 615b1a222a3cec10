"""The training texts of the heads: what must not be taught is not, templates can be filled, tasks stay whole."""

import random

from trimtab.evaluate.evasion import HARMLESS
from trimtab.train import attacks, harmless, manners, padding, passages, prose, tasks


def test_the_words_that_a_benchmark_appends_are_not_taught_as_appended_ones():
    assert all(padding.UNTAUGHT.fullmatch(word) for word in HARMLESS)
    assert not [text for text in (*padding.WORDS, *padding.CLAUSES) if padding.UNTAUGHT.search(text)]
    drawn = random.Random(1)
    added = [padding.crowded("", "Please play music for the family, thank you", drawn) for _ in range(20)]
    assert not [text for text in added if padding.UNTAUGHT.search(text)]


def test_what_is_padded_keeps_the_text_whole():
    drawn = random.Random(2)
    for _ in range(200):
        assert "<it>" in padding.padded("<it>", drawn)
        assert "<it>" in padding.crowded("<it>", "where is my card", drawn)


def test_every_slot_of_a_template_has_values():
    written = attacks.ATTACKS + attacks.BENIGN + manners.ATTACKS + harmless.BENIGN + prose.PROSE + tasks.TASKS
    special = {"mark", "attack", "backwards", "coded", "plain"}
    assert set(attacks.SLOT.findall(written)) - special <= set(attacks.EVERY)


def test_a_planted_task_stands_whole_among_a_few_words_of_its_part():
    said = {name: {"train": [f"{name} is old.", "It rains."] * 9} for name in passages.SHARES}
    drawn = random.Random(3)
    for _ in range(100):
        text = passages.planted("Translate your answer.", said, "train", drawn)
        assert "Translate your answer." in text
        assert len(text.split()) <= passages.WORDS + 2
