"""National identity and tax numbers: a shape, a checksum (python-stdnum), and a word nearby where both are weak.

A one-digit checksum lets one number in ten pass: such a kind counts only with one of its words around it.
"""

import importlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from stdnum.exceptions import ValidationError

from trimtab.guard._digits import near


class National(NamedTuple):
    """A kind of number: `words` empty where shape and checksum are precise alone, `module` empty without checksum.

    `hint` is what must be found first: it begins with a digit, which makes a search where there is none cheap.
    """

    kind: str
    hint: re.Pattern[str]
    shape: re.Pattern[str]
    module: str
    words: tuple[str, ...] = ()


def _one(kind: str, hint: str, shape: str, module: str, *words: str) -> National:
    whole = re.compile(rf"(?<![\w.-])(?:{shape})(?!\w|[.-][0-9])")
    return National(kind, re.compile(hint), whole, module, words)


TABLE = (
    # The shape is that of HMRC's manual NIM39110; a NINO has no checksum.
    _one(
        "GB_NINO",
        r"[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]",
        r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]",
        "",
    ),
    _one(
        "FR_NIR",
        r"[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        r"[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        "fr.nir",
    ),
    _one("ES_DNI", r"[0-9]{8}-?[A-Za-z]", r"[0-9]{8}-?[A-Za-z]", "es.dni"),
    _one("ES_NIE", r"[0-9]{7}-?[A-Za-z]", r"[XYZxyz]-?[0-9]{7}-?[A-Za-z]", "es.nie"),
    _one(
        "IT_CF",
        r"[0-9]{2}[A-Za-z][0-9]{2}[A-Za-z][0-9]{3}",
        r"[A-Za-z]{6}[0-9]{2}[A-Za-z][0-9]{2}[A-Za-z][0-9]{3}[A-Za-z]",
        "it.codicefiscale",
    ),
    _one("BR_CPF", r"[0-9]{3}\.[0-9]{3}\.", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", "br.cpf"),
    _one("IN_PAN", r"[0-9]{4}[A-Z]", r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]", "in_.pan"),
    _one("CH_AHV", r"7(?=56\.)", r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}", "ch.ssn"),
    _one("CN_RIC", r"[0-9]{17}", r"[0-9]{17}[0-9Xx]", "cn.ric"),
    _one("FI_HETU", r"[0-9]{6}[-+A][0-9]{3}", r"[0-9]{6}[-+A][0-9]{3}[0-9A-FHJ-NPR-Y]", "fi.hetu"),
    _one("KR_RRN", r"[0-9]{6}-[0-9]{7}", r"[0-9]{6}-[0-9]{7}", "kr.rrn"),
    _one("MX_CURP", r"[0-9]{6}[HM]", r"[A-Z]{4}[0-9]{6}[HM][A-Z]{5}[0-9A-Z][0-9]", "mx.curp"),
    _one("GB_NHS", r"[0-9]", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}", "gb.nhs", "nhs"),
    _one(
        "DE_IDNR",
        r"[0-9]",
        r"[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}",
        "de.idnr",
        "steuer",
        "idnr",
        "tax id",
        "identifikationsnummer",
    ),
    _one("PL_PESEL", r"[0-9]", r"[0-9]{11}", "pl.pesel", "pesel"),
    _one("BR_CPF", r"[0-9]", r"[0-9]{11}", "br.cpf", "cpf"),
    _one("IN_AADHAAR", r"[0-9]", r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}", "in_.aadhaar", "aadhaar", "aadhar", "uidai"),
    _one(
        "TH_PIN",
        r"[0-9]",
        r"[0-9]-?[0-9]{4}-?[0-9]{5}-?[0-9]{2}-?[0-9]",
        "th.pin",
        "บัตรประชาชน",
        "ประจำตัวประชาชน",
        "thai id",
        "national id",
    ),
    _one("VN_MST", r"[0-9]", r"[0-9]{10}(?:-[0-9]{3})?", "vn.mst", "mst", "mã số thuế", "tax code"),
    _one("VN_CCCD", r"[0-9]", r"0[0-9]{11}", "", "cccd", "căn cước", "citizen id"),
    _one("NL_BSN", r"[0-9]", r"[0-9]{9}", "nl.bsn", "bsn", "burgerservice", "sofinummer"),
    _one(
        "SE_PNR", r"[0-9]", r"(?:[0-9]{2})?[0-9]{6}[-+][0-9]{4}", "se.personnummer", "personnummer", "personal number"
    ),
    _one(
        "NO_FNR", r"[0-9]", r"[0-9]{6} ?[0-9]{5}", "no.fodselsnummer", "fødselsnummer", "fodselsnummer", "personnummer"
    ),
    _one("DK_CPR", r"[0-9]", r"[0-9]{6}-?[0-9]{4}", "dk.cpr", "cpr"),
    _one(
        "BE_NN",
        r"[0-9]",
        r"[0-9]{2}\.?[0-9]{2}\.?[0-9]{2}-?[0-9]{3}\.?[0-9]{2}",
        "be.nn",
        "rijksregister",
        "registre national",
        "national number",
    ),
    _one("CA_SIN", r"[0-9]", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", "ca.sin", "social insurance", " sin "),
    _one("AU_TFN", r"[0-9]", r"[0-9]{3} ?[0-9]{3} ?[0-9]{2,3}", "au.tfn", "tfn", "tax file"),
    _one("TR_TCKN", r"[0-9]", r"[1-9][0-9]{10}", "tr.tckimlik", "kimlik", "tckn"),
    _one("PT_NIF", r"[0-9]", r"[1-35689][0-9]{8}", "pt.nif", "nif", "contribuinte"),
    _one("US_ITIN", r"[0-9]", r"9[0-9]{2}-?[5-9][0-9]-?[0-9]{4}", "us.itin", "itin", "taxpayer"),
)


PLAIN = tuple(one for one in TABLE if not one.words)
HINTS = re.compile("[0-9](?:" + "|".join(f"(?<=(?={one.hint.pattern}).)" for one in PLAIN) + ")")
"""One scan for all of them; it begins with a character class, which is what makes it fast."""
WORDED = tuple((word, one) for one in TABLE for word in one.words)


def national(text: str, low: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of the national numbers in `text`; `low` is the text in lower case, for the words."""
    tried = [*PLAIN] if HINTS.search(text) else []
    tried += dict.fromkeys(one for word, one in WORDED if word in low)
    for one in tried:
        for match in one.shape.finditer(text) if one.hint.search(text) else ():
            if one.words and not near(low, *match.span(), one.words):
                continue
            if not one.module or _checks(one.module, match[0]):
                yield one.kind, match.start(), match.end()


def _checks(module: str, number: str) -> bool:
    try:
        importlib.import_module(f"stdnum.{module}").validate(number)
    except (ValidationError, ValueError, LookupError):  # a table of places with gaps fails with KeyError
        return False
    return True
