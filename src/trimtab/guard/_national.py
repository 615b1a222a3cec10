"""National identity and tax numbers: a shape, a checksum (python-stdnum), and a word nearby where both are weak.

A one-digit checksum lets one number in ten pass: such a kind counts only with one of its words around it.
"""

import importlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from stdnum.exceptions import ValidationError

from trimtab.guard._digits import SHORT, near


class National(NamedTuple):
    """A kind of number: `words` empty where shape and checksum are precise alone, `module` empty without checksum.

    `hint` is what must be found first: it begins with a digit, which makes a search where there is none cheap.
    """

    kind: str
    hint: re.Pattern[str]
    shape: re.Pattern[str]
    module: str
    words: tuple[str, ...] = ()

    @property
    def plain(self) -> tuple[str, ...]:
        """The words that mean this number and nothing else: beside one a mistyped number is personal too."""
        return tuple(word for word in self.words if len(word) > SHORT)


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
    _one("GB_NINO", r"[0-9]", r"[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Z]", "", "national insurance", "nino"),
    _one("CN_RIC", r"[0-9]{17}", r"[0-9]{17}[0-9Xx]", "", "身份证", "resident id", "identity card", "citizen id"),
    _one("KR_RRN", r"[0-9]{6}-[0-9]{7}", r"[0-9]{6}-[0-9]{7}", "", "주민등록", "resident registration"),
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
    _one("US_ITIN", r"9[0-9]{2}-[5-9]", r"9[0-9]{2}-[5-9][0-9]-[0-9]{4}", "us.itin"),
    _one("US_ITIN", r"9[0-9]{2}", r"9[0-9]{2}[5-9][0-9]{5}", "us.itin", "itin", "taxpayer"),
    _one("BR_CNPJ", r"[0-9]/[0-9]{4}-", r"[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}/[0-9]{4}-[0-9]{2}", "br.cnpj"),
    _one("AR_CUIT", r"[0-9]{2}-[0-9]{8}-", r"(?:2[03479]|3[034])-[0-9]{8}-[0-9]", "ar.cuit"),
    _one("CL_RUT", r"[0-9]{3}\.[0-9]{3}-", r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]", "cl.rut"),
    _one("PK_CNIC", r"[0-9]{5}-[0-9]{7}-", r"[0-9]{5}-[0-9]{7}-[0-9]", "pk.cnic"),
    _one("LV_PK", r"[0-9]{6}-[0-9]{5}", r"[0-9]{6}-[0-9]{5}", "lv.pvn", "personas kods", "personal code"),
    _one("GB_UTR", r"[0-9]", r"[0-9]{5} ?[0-9]{5}", "gb.utr", "utr", "unique taxpayer"),
    _one("GB_DRIVER", r"[0-9]{6}", r"[A-Z9]{5}[0-9]{6}[A-Z9]{2}[A-Z0-9]{3}", "", "driv", "licen"),
    _one("DE_AUSWEIS", r"[0-9]", r"[CFGHJKLMNPRTVWXYZ0-9]{9}[0-9]?D?", "", "personalausweis", "ausweisnummer"),
    _one("DE_RVNR", r"[0-9]", r"[0-9]{2} ?[0-9]{6} ?[A-Z] ?[0-9]{3}", "", "rentenversicherung", "sozialversicherung", "rvnr"),
    _one("FR_SPI", r"[0-9]", r"[0-3][0-9] ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", "fr.nif", "fiscal", "spi"),
    _one("ES_NUSS", r"[0-9]", r"[0-9]{2}[ /]?[0-9]{8}[ /]?[0-9]{2}", "", "seguridad social", "nuss", "social security"),
    _one("PL_NIP", r"[0-9]", r"[0-9]{3}-?[0-9]{3}-?[0-9]{2}-?[0-9]{2}", "pl.nip", "nip"),
    _one("PL_DOWOD", r"[0-9]{5}", r"[A-Z]{3} ?[0-9]{6}", "", "dowod", "dowód", "dowodu"),
    _one("BR_RG", r"[0-9]", r"[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}-?[0-9Xx]", "", "rg", "identidade"),
    _one("IN_EPIC", r"[0-9]{7}", r"[A-Z]{3}[0-9]{7}", "in_.epic", "voter", "epic"),
    _one("IE_PPS", r"[0-9]{7}", r"[0-9]{7}[A-Wa-w][ABab]?", "ie.pps", "pps"),
    _one("RO_CNP", r"[0-9]", r"[1-9][0-9]{12}", "ro.cnp", "cnp", "numeric personal"),
    _one("BG_EGN", r"[0-9]", r"[0-9]{10}", "bg.egn", "egn", "егн"),
    _one("CZ_RC", r"[0-9]", r"[0-9]{6}/?[0-9]{3,4}", "cz.rc", "rodné číslo", "rodne cislo", "rodného čísla"),
    _one("GR_AMKA", r"[0-9]", r"[0-9]{11}", "gr.amka", "amka", "αμκα"),
    _one("HR_OIB", r"[0-9]", r"[0-9]{11}", "hr.oib", "oib"),
    _one("EE_IK", r"[0-9]", r"[1-6][0-9]{10}", "ee.ik", "isikukood"),
    _one("LT_AK", r"[0-9]", r"[1-6][0-9]{10}", "lt.asmens", "asmens kod"),
    _one("IL_ID", r"[0-9]", r"[0-9]{8}-?[0-9]", "il.idnr", "teudat zehut", "תעודת זהות", "ת.ז"),
    _one("ZA_ID", r"[0-9]", r"[0-9]{6} ?[0-9]{4} ?[0-9]{3}", "za.idnr", "south african", "id number", "identity number"),
    _one("MY_NRIC", r"[0-9]", r"[0-9]{6}-?[0-9]{2}-?[0-9]{4}", "my.nric", "nric", "mykad", "kad pengenalan"),
    _one("SG_NRIC", r"[0-9]{7}", r"[STFGMstfgm][0-9]{7}[A-Za-z]", "", "nric", "fin", "singapore"),
    _one("ID_NIK", r"[0-9]", r"[0-9]{16}", "id.nik", "nik", "ktp"),
    _one("JP_IN", r"[0-9]", r"[0-9]{4} ?[0-9]{4} ?[0-9]{4}", "jp.in_", "マイナンバー", "個人番号", "my number"),
    _one("TW_ID", r"[12][0-9]{8}", r"[A-Z][12][0-9]{8}", "", "身分證", "身份證", "taiwan"),
    _one("US_MBI", r"[0-9]", r"[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]-?[AC-HJKMNP-RT-Y]{2}[0-9]{2}", "", "medicare", "mbi"),
    _one(
        "PASSPORT", r"[0-9]{4}", r"[A-Z]{0,2}[0-9]{6,9}[A-Z]?", "",
        "passport", "reisepass", "passeport", "pasaporte", "passaporto", "passaporte", "paszport", "hộ chiếu", "หนังสือเดินทาง",
    ),
    _one(
        "DRIVER_LICENSE", r"[0-9]{3}", r"(?=[A-Z0-9-]{0,9}[0-9]{3})[A-Z]{0,2}[0-9][A-Z0-9]{0,3}(?:-?[A-Z0-9]{2,5}){1,4}", "",
        "driver license", "driver's license", "drivers license", "driver’s license", "driving licen", "driver's licen", "driver licen", "dl number", "führerschein",
        "permis de conduire", "carnet de conducir", "patente di guida", "prawo jazdy", "cnh", "bằng lái",
    ),
    _one(
        "NATIONAL_ID", r"[0-9]{3}", r"(?=[A-Z0-9./-]{0,12}[0-9]{4})[A-Z]{0,3}[0-9](?:[ ./-]?[A-Z0-9]){6,15}", "",
        "national id", "national identity", "identity card n", "id card n", "identity number", "identification number", "citizen id",
        "personalausweis", "carte d'identité", "carta d'identità", "documento de identidad", "cédula", "cedula", "tax id", "tax identification",
    ),
)
"""Kinds with a checksum before those without, and the general words last: of two that claim the same, the first stands."""


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
            if not one.module or _checks(one.module, match[0]) or near(low, *match.span(), one.plain):
                yield one.kind, match.start(), match.end()


def _checks(module: str, number: str) -> bool:
    try:
        importlib.import_module(f"stdnum.{module}").validate(number)
    except (ValidationError, ValueError, LookupError):  # a table of places with gaps fails with KeyError
        return False
    return True
