"""Names that an encoder tags, in the `pii` guard and in the mask. The tags here are a stand-in's, by a list."""

from types import SimpleNamespace

import pytest

from trimtab import testing
from trimtab.answer import masked
from trimtab.answer._vault import Vault
from trimtab.errors import ConfigError
from trimtab.guard import pii
from trimtab.types import Answer, Evidence, Origin, Passage, Span, Text, Verdict

KNOWN = {
    "255": "PERSON",
    "61508": "ADDRESS",
    "62704": "ADDRESS",
    "Jane Doe": "PERSON",
    "May": "PERSON",
    "Paris": "PLACE",
    "Acme": "ORGANIZATION",
    "12 High St": "ADDRESS",
    "J": "PERSON",
}


class Tagger:
    """In the place of the encoder: tags what is in `KNOWN`, where it first stands."""

    def __init__(self):
        self.asked = []

    async def read(self, texts):
        self.asked += texts
        return [SimpleNamespace(tags=tuple(self._tags(text))) for text in texts]

    def _tags(self, text):
        for name, kind in KNOWN.items():
            if (at := text.find(name)) >= 0:
                yield SimpleNamespace(kind=kind, start=at, end=at + len(name), p=0.9)


class Down:
    async def read(self, texts):
        raise RuntimeError("down")


class Says:
    async def answer(self, request, evidence, sink):
        self.asked, self.evidence = request, evidence
        return Answer(text=request.messages[-1]["content"], model="kind")


def tools_of(tmp_path, encoder, **options):
    tools = testing.tools(tmp_path, encoder=lambda: encoder)
    given = pii.Options(**options)
    return testing.msgspec.structs.replace(tools, names=lambda texts: pii.names(tools, texts, given))


async def through(tools, *said, evidence=None, messages=None, **more):
    inner = Says()
    request = testing.ask(messages=messages, **more) if messages else testing.ask(*said, **more)
    model = masked.build(masked.Options(), testing.msgspec.structs.replace(tools, inner=inner))
    return await model.answer(request, evidence or Evidence(), testing.Hears()), inner


def texts(*said):
    return tuple(Text(text=one, origin=Origin.USER, path=f"messages[{i}].content") for i, one in enumerate(said))


async def found(tmp_path, text, encoder=None, **options):
    guard = pii.build(pii.Options(**options), testing.tools(tmp_path, encoder=lambda: encoder or Tagger()))
    verdict = await guard.check(texts(text), testing.ask(text))
    return [(span.kind, text[span.start : span.end]) for span in verdict.spans]


async def test_the_guard_finds_names_where_it_is_told_to(tmp_path):
    text = "Jane Doe of 12 High St, jane@example.com"
    assert await found(tmp_path, text) == [("EMAIL", "jane@example.com")]
    tags = ("PERSON", "ADDRESS")
    assert await found(tmp_path, text, tags=tags) == [
        ("PERSON", "Jane Doe"), ("ADDRESS", "12 High St"), ("EMAIL", "jane@example.com"),
    ]  # fmt: skip
    assert await found(tmp_path, text, tags=("PERSON",), kinds=("PERSON",)) == [("PERSON", "Jane Doe")]
    with pytest.raises(ConfigError, match="unknown tags NAME"):
        await found(tmp_path, text, tags=("NAME",))


async def test_a_place_is_personal_only_where_somebody_is_named_or_reached(tmp_path):
    tags = ("PERSON", "PLACE", "ORGANIZATION")
    assert await found(tmp_path, "Is Paris larger than Acme?", tags=tags) == []
    assert ("PLACE", "Paris") in await found(tmp_path, "Jane Doe lives in Paris", tags=tags)
    assert ("ORGANIZATION", "Acme") in await found(tmp_path, "jane@example.com of Acme", tags=tags)


async def test_the_mask_hides_names_by_itself_and_gives_them_back(tmp_path):
    said, inner = await through(tools_of(tmp_path, Tagger()), "Jane Doe lives in Paris. Is Paris nice, Jane Doe asks.")
    assert inner.asked.messages[0]["content"] == "[PERSON-1] lives in [PLACE-1]. Is [PLACE-1] nice, [PERSON-1] asks."
    assert said.text == "Jane Doe lives in Paris. Is Paris nice, Jane Doe asks."
    _, inner = await through(tools_of(tmp_path, Tagger(), tags=()), "Jane Doe")
    assert inner.asked.messages[0]["content"] == "Jane Doe"


async def test_a_name_is_hidden_as_a_word_and_in_all_that_leaves(tmp_path):
    passages = Evidence(passages=(Passage(text="May is kind. Maybe.", source="a.md", start=0, end=9),))
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"who": "Jane Doe", "n": 1}'}}
    messages = (
        {"role": "system", "content": "You serve Acme in Paris; May we?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "user", "content": "Ask May, maybe Maybe."},
    )
    _, inner = await through(tools_of(tmp_path, Tagger()), messages=messages, evidence=passages)
    system, called, user = inner.asked.messages
    assert user["content"] == "Ask [PERSON-2], maybe Maybe."
    assert called["tool_calls"][0]["function"]["arguments"] == '{"who": "[PERSON-1]", "n": 1}'
    assert inner.evidence.passages[0].text == "[PERSON-2] is kind. Maybe."
    assert system["content"] == "You serve Acme in Paris; [PERSON-2] we?"


async def test_the_operators_own_words_are_not_read_for_names(tmp_path):
    tagger = Tagger()
    messages = ({"role": "system", "content": "Acme's desk."}, {"role": "user", "content": "Hello"})
    params = {
        "tools": [{"type": "function", "function": {"name": "f", "description": "Of Jane Doe", "parameters": {}}}]
    }
    await through(tools_of(tmp_path, tagger), messages=messages, params=params)
    assert tagger.asked == ["Hello"]


async def test_nothing_is_sent_where_the_tagger_is_down(tmp_path):
    said, inner = await through(tools_of(tmp_path, Down()), "Hello Jane Doe")
    assert isinstance(said, Verdict)
    assert (said.code, hasattr(inner, "asked")) == ("masking_failed", False)


def test_a_short_name_is_hidden_where_it_was_found_and_not_inside_words():
    text = "คุณนกโทรมา"
    vault = Vault(lambda _: ())
    vault.learn(text)
    vault.name(text, [Span(kind="PERSON", start=3, end=5)])
    vault.name("นก", [Span(kind="PERSON", start=0, end=2)])
    vault.name("สมชาย", [Span(kind="PERSON", start=0, end=5)])
    vault.seal()
    assert vault.hide(text) == "คุณ[PERSON-1]โทรมา"
    assert vault.hide("นก, นกแก้วบิน ถามคุณสมชายดู") == "[PERSON-1], นกแก้วบิน ถามคุณ[PERSON-2]ดู"


async def test_what_the_encoder_cannot_read_is_no_name(tmp_path):
    class Guesses:
        async def read(self, texts):
            return [SimpleNamespace(tags=(SimpleNamespace(kind="PERSON", start=0, end=len(text)),)) for text in texts]

    async def told(text):
        return await found(tmp_path, text, Guesses(), tags=("PERSON",))

    assert await told("น้ำท่วมถนน 31 แล้ว") == []
    assert await told("ครับ Jane Doe ค่ะ") == [("PERSON", "Jane Doe")]
    assert await told("Jane Doe 31") == [("PERSON", "Jane Doe 31")]


async def test_a_date_of_birth_does_not_leave_and_comes_back(tmp_path):
    said = "I was born on 12/03/1985, how do I apply?"
    answer, inner = await through(tools_of(tmp_path, Tagger()), said)
    assert inner.asked.messages[-1]["content"] == "I was born on [BIRTH-DATE-1], how do I apply?"
    assert answer.text == said


async def test_the_guard_finds_a_date_of_birth_only_where_it_is_told_to(tmp_path):
    text = "born on 12/03/1985"
    assert await found(tmp_path, text) == []
    assert await found(tmp_path, text, tags=("BIRTH_DATE",)) == [("BIRTH_DATE", "12/03/1985")]


async def test_figures_alone_are_no_name_and_no_address(tmp_path):
    tags = ("PERSON", "ADDRESS")
    assert await found(tmp_path, "rgb(255, 128, 0) of IEC 61508", tags=tags) == []
    assert await found(tmp_path, "12 High St, 62704", tags=tags) == [("ADDRESS", "12 High St"), ("ADDRESS", "62704")]
    assert await found(tmp_path, "my zip code is 62704", tags=tags) == [("ADDRESS", "62704")]


async def test_a_column_of_dates_of_birth_does_not_leave(tmp_path):
    said = "name,dob,since\nA,1985-03-12,2020-01-01\nB,1990-01-02,2020-01-01\nC,1991-02-03,2020-01-01"
    _, inner = await through(tools_of(tmp_path, Tagger()), said)
    left = inner.asked.messages[-1]["content"]
    assert left.splitlines()[1:] == [f"{name},[BIRTH-DATE-{n}],2020-01-01" for n, name in enumerate("ABC", 1)]
