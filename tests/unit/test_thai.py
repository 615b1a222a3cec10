"""Names in Thai: what the tagger that ships finds and leaves alone, and that a mask hides them and gives them back."""

import json
import random
import shutil

import numpy as np
import pytest

from trimtab import testing
from trimtab.answer import masked
from trimtab.encode import thai
from trimtab.encode.sealed import seal
from trimtab.errors import ConfigError
from trimtab.guard import pii
from trimtab.types import Answer, Delta, Evidence

LETTER = "สวัสดีค่ะ ดิฉันชื่อสมหญิง วงศ์สุวรรณ อยากสอบถามเรื่องพัสดุ"
CALLED = "รบกวนติดต่อคุณธนกฤต เจริญสุข ที่เบอร์ 081-234-5678 ด้วยครับ"
HARMLESS = (
    "คุณภาพของสินค้าดีมาก แนะนำเลยครับ", "นายจ้างต้องจ่ายค่าชดเชยตามกฎหมาย", "น้ำท่วมถนนหน้าบ้านทุกปี",
    "ช่วยสรุปบทความนี้ให้หน่อย", "พรุ่งนี้ฝนตกหนักทางภาคเหนือของประเทศ", "ไทย", "ก", "",
)  # fmt: skip


@pytest.fixture(scope="module")
def tagger():
    return thai.tagger()


class Headless:
    """An encoder without heads."""


class Echo:
    """Says back what it was sent, a few characters at a time."""

    def __init__(self, cut=3):
        self._cut = cut

    async def answer(self, request, evidence, sink):
        self.asked, self.text = request, request.messages[-1]["content"]
        calls = request.messages[0].get("tool_calls", ())
        for at in range(0, len(self.text), self._cut):
            await sink.emit(Delta(text=self.text[at : at + self._cut]))
        return Answer(text=self.text, model="echo", tool_calls=tuple(calls))


async def through(tmp_path, *said, messages=None, cut=3):
    tools = testing.tools(tmp_path, encoder=Headless, personal=pii.find)
    tools = testing.msgspec.structs.replace(tools, names=lambda texts: pii.names(tools, texts, pii.Options()))
    inner, sink = Echo(cut), testing.Hears()
    model = masked.build(masked.Options(), testing.msgspec.structs.replace(tools, inner=inner))
    request = testing.ask(messages=messages) if messages else testing.ask(*said)
    answer = await model.answer(request, Evidence(), sink)
    return inner, answer, "".join(delta.text for delta in sink.deltas)


def found(tagger, text):
    return [(tag.kind, text[tag.start : tag.end]) for tag in tagger.tags(text)]


def test_names_and_addresses_are_found(tagger):
    assert ("PERSON", "สมหญิง วงศ์สุวรรณ") in found(tagger, LETTER)
    assert found(tagger, CALLED) == [("PERSON", "ธนกฤต เจริญสุข")]
    where = "ที่อยู่จัดส่ง: 88/12 ซอยอารีย์ 5 แขวงสามเสนใน เขตพญาไท กรุงเทพฯ 10400"
    assert [kind for kind, _ in found(tagger, where)] == ["ADDRESS"]


def test_what_names_nobody_is_left_alone():
    assert [text for text in (*HARMLESS, "No Thai at all, Jane Doe") if thai.names(text)] == []


def test_what_is_found_is_in_order_and_cuts_no_letter_from_its_marks(tagger):
    drawn = random.Random(1)
    for _ in range(60):
        text = "".join(
            drawn.choice((LETTER[:9], "คุณ", "พี่เอ๋", "ก็", "\u0e49", "x ", "\n", "\ud800", "🦀")) for _ in range(12)
        )
        last = 0
        for tag in tagger.tags(text):
            assert last <= tag.start < tag.end <= len(text)
            assert text[tag.end : tag.end + 1] not in thai.MARKS or not text[tag.end :]
            last = tag.end


def test_a_long_text_is_read_as_its_parts_are(tagger):
    line = f"{LETTER} {CALLED}\n"
    times = 2 * thai.BLOCK // len(line)
    assert len(tagger.tags(line * times)) == times * len(tagger.tags(line))


def test_marks_say_where_known_words_stand():
    words = thai.Words(np.sort(np.array([thai.hashed(word) for word in ("กข", "ขคง", "งจ")], np.uint32)))
    begins, ends, inside = words.marks(thai.coded("กขคงx")).tolist()
    assert (begins, ends, inside) == ([2, 3, 0, 0, 0], [0, 2, 0, 3, 0], [2, 3, 3, 3, 0])


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    folder = tmp_path / "thai"
    shutil.copytree(thai.HOME, folder)
    (folder / thai.FILE).write_bytes(b"x")
    with pytest.raises(ConfigError, match="not the file that was sealed"):
        thai.Tagger.load(folder)
    seal(folder, [thai.FILE], {})
    with pytest.raises(ConfigError, match="cannot be used"):
        thai.Tagger.load(folder)
    with np.load(thai.HOME / thai.FILE) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    np.savez(folder / thai.FILE, **held | {"out": held["out"][:3]})
    seal(folder, [thai.FILE], {})
    with pytest.raises(ConfigError, match="cannot be used"):
        thai.Tagger.load(folder)


@pytest.mark.parametrize("cut", [1, 2, 7, 1000])
async def test_the_mask_hides_them_and_gives_them_back_in_a_stream(tmp_path, cut):
    text = f"{LETTER}\n{CALLED}"
    inner, said, streamed = await through(tmp_path, text, cut=cut)
    assert "สมหญิง" not in inner.text
    assert "ธนกฤต" not in inner.text
    assert "คุณ[PERSON-" in inner.text
    assert said.text == streamed == text


async def test_the_mask_hides_them_inside_json(tmp_path):
    arguments = json.dumps({"ชื่อ": "นางสาวพิมพ์ชนก ศรีสุวรรณ", "n": 1}, ensure_ascii=True)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = ({"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "ขอบคุณครับ"})
    inner, said, _ = await through(tmp_path, messages=messages)
    sent = json.loads(inner.asked.messages[0]["tool_calls"][0]["function"]["arguments"])
    assert sent == {"ชื่อ": "นางสาว[PERSON-1]", "n": 1}
    assert json.loads(said.tool_calls[0]["function"]["arguments"]) == json.loads(arguments)
