"""Unit conversions by exact factors; units with several meanings (ton, gallon, ounce, cup, MB) are not read.

Factors are exact by definition. Sources: international yard and pound agreement of 1959 (inch 25.4 mm, pound
0.45359237 kg); UK Weights and Measures Act 1985 (gallon 4.54609 L); NIST Handbook 44, appendix C (US gallon 231 cubic
inches, acre 43560 square feet, stone 14 lb); SI brochure, 9th edition (tonne, hectare, nautical mile, hour, litre);
ISO/IEC 80000-13 (KiB 1024 bytes).
"""

import re
from fractions import Fraction

from trimtab.answer._reading import Reading, Unclear, bounded, number, show

F = Fraction
INCH, FOOT, YARD, MILE = F("0.0254"), F("0.3048"), F("0.9144"), F("1609.344")
POUND = F("0.45359237")
GALLON_US, GALLON_UK = F("3.785411784"), F("4.54609")

TABLE: dict[str, dict[str, tuple[Fraction, str]]] = {
    "length": {
        "mm": (F("0.001"), "millimetre millimeter"), "cm": (F("0.01"), "centimetre centimeter"),
        "m": (F(1), "metre meter"), "km": (F(1000), "kilometre kilometer"), "µm": (F("1e-6"), "micrometre micrometer"),
        "in": (INCH, "inch inches"), "ft": (FOOT, "foot feet"), "yd": (YARD, "yard"), "mi": (MILE, "mile"),
        "nmi": (F(1852), "nautical_mile"),
    },
    "mass": {
        "mg": (F("1e-6"), "milligram"), "g": (F("0.001"), "gram gramme"), "kg": (F(1), "kilogram kilo"),
        "t": (F(1000), "tonne metric_ton"), "lb": (POUND, "pound lbs"), "st": (POUND * 14, "stone"),
    },
    "volume": {
        "mL": (F("0.001"), "ml millilitre milliliter"), "cL": (F("0.01"), "cl centilitre centiliter"),
        "dL": (F("0.1"), "dl decilitre deciliter"), "L": (F(1), "l litre liter"),
        "m³": (F(1000), "m3 cubic_metre cubic_meter"), "cm³": (F("0.001"), "cm3 cubic_centimetre cubic_centimeter"),
        "US gallons": (GALLON_US, "us_gallon"), "imperial gallons": (GALLON_UK, "imperial_gallon uk_gallon"),
        "US fluid ounces": (GALLON_US / 128, "us_fluid_ounce"),
        "imperial fluid ounces": (GALLON_UK / 160, "imperial_fluid_ounce uk_fluid_ounce"),
    },
    "time": {
        "milliseconds": (F("0.001"), "ms millisecond"), "seconds": (F(1), "s sec secs second"),
        "minutes": (F(60), "min mins minute"), "hours": (F(3600), "h hr hrs hour"), "days": (F(86400), "day"),
        "weeks": (F(604800), "week"),
    },
    "calendar": {"months": (F(1), "month"), "years": (F(12), "year"), "decades": (F(120), "decade"),
                 "centuries": (F(1200), "century")},
    "speed": {
        "m/s": (F(1), "metres_per_second meters_per_second metre_per_second meter_per_second"),
        "km/h": (F(5, 18), "kph kmh kilometres_per_hour kilometers_per_hour"), "mph": (MILE / 3600, "miles_per_hour"),
        "knots": (F(1852, 3600), "knot"), "ft/s": (FOOT, "feet_per_second"),
    },
    "area": {
        "m²": (F(1), "m2 square_metre square_meter sqm"), "cm²": (F("1e-4"), "cm2 square_centimetre square_centimeter"),
        "km²": (F(10**6), "km2 square_kilometre square_kilometer"), "ha": (F(10**4), "hectare"),
        "ft²": (FOOT**2, "ft2 square_foot square_feet"), "in²": (INCH**2, "in2 square_inch square_inches"),
        "yd²": (YARD**2, "yd2 square_yard"), "mi²": (MILE**2, "square_mile"), "acres": (FOOT**2 * 43560, "acre"),
    },
    "data": {
        "bits": (F(1), "bit"), "bytes": (F(8), "byte"), "KiB": (F(8 << 10), "kibibyte"),
        "MiB": (F(8 << 20), "mebibyte"), "GiB": (F(8 << 30), "gibibyte"), "TiB": (F(8 << 40), "tebibyte"),
        "kbit": (F(10**3), "kilobit"), "Mbit": (F(10**6), "megabit"), "Gbit": (F(10**9), "gigabit"),
    },
    "temperature": {"°C": (F(1), "C c °c celsius centigrade degrees_celsius degree_celsius degrees_c"),
                    "°F": (F(5, 9), "F f °f fahrenheit degrees_fahrenheit degree_fahrenheit degrees_f"),
                    "K": (F(1), "kelvin kelvins")},
}  # fmt: skip
"""Dimension -> symbol -> factor to the dimension's first unit of 1, and the words for it (`_` is a space)."""
_ZERO = {"°C": F("273.15"), "°F": F("459.67") * F(5, 9), "K": F(0)}
"""Kelvin at the scale's zero."""
_LOOSE = frozenset({"km", "kg", "cm", "ft", "lb", "lbs", "mph", "kph", "kmh", "yd"})
"""Short symbols that people write in any case; elsewhere it matters: Mg is no mg, and Mm no mm."""
_PAIRS = {("ft", "in"), ("hours", "minutes"), ("minutes", "seconds"), ("st", "lb")}

_NUMBER = r"(-?[0-9.][0-9.,]*(?:e[+-]?[0-9]+)?|[a-z]+(?:-[a-z]+)?)"
_UNIT = r"([A-Za-zµ°²³/][A-Za-z0-9µ°²³/]*(?: (?!in |to |into |is |are )[A-Za-z]+){0,2})"
_ASK = r"(?i:convert |change |what is |how (?:much|long|far|heavy|hot) is )?"
_IN = re.compile(rf"{_ASK}{_NUMBER} ?{_UNIT} (?:in|to|into|as|equals how many|is how many|= how many) {_UNIT}")
_PAIR_IN = re.compile(rf"{_ASK}{_NUMBER} ?{_UNIT}(?: and|,)? {_NUMBER} ?{_UNIT} (?:in|to|into) {_UNIT}")
_HOW_MANY = re.compile(
    rf"(?i:how many) {_UNIT}(?: are there| is there| are| is| do| does)?(?: in| make)? {_NUMBER} ?{_UNIT}"
    r"(?: have| equal)?"
)


def read(text: str) -> Reading:
    """The answer to a conversion; `text` without courtesies, its case kept. Raises `Unclear`."""
    if match := _HOW_MANY.fullmatch(text):
        target, value, source = match.groups()
        return _convert([(value, source)], target)
    if match := _IN.fullmatch(text):
        return _convert([(match[1], match[2])], match[3])
    if match := _PAIR_IN.fullmatch(text):
        return _convert([(match[1], match[2]), (match[3], match[4])], match[5])
    raise Unclear


def unit(text: str) -> tuple[str, str]:
    """Dimension and symbol of a unit's name or symbol. Raises `Unclear`."""
    key = text.lower() if len(text) > 3 or text.lower() in _LOOSE else text
    for name in (text, key):
        if name in _NAMES:
            return _NAMES[name]
    raise Unclear


def _names() -> dict[str, tuple[str, str]]:
    names: dict[str, tuple[str, str]] = {}
    for dimension, units in TABLE.items():
        for symbol, (_, words) in units.items():
            for word in (symbol, *words.split()):
                for spelling in _spellings(word):
                    names.setdefault(spelling, (dimension, symbol))
    return names


def _spellings(word: str) -> set[str]:
    """A symbol as it is, a word with its plural."""
    plain = word.replace("_", " ")
    return {plain} if len(plain) < 3 else {plain, plain.lower(), plain.lower().removesuffix("s") + "s"}


_NAMES = _names()


def _convert(parts: list[tuple[str, str]], target: str) -> Reading:
    dimension, symbol = unit(target)
    found = [unit(source) for _, source in parts]
    if {where for where, _ in found} != {dimension} or found[0][1] == symbol:
        raise Unclear
    values = [_quantity(value, dimension) for value, _ in parts]
    if len(found) == 2:
        _refuse_unpaired(found[0][1], found[1][1], dimension, values[1])
    units = TABLE[dimension]
    if dimension == "temperature":
        result = _temperature(values[0], found[0][1], symbol)
    else:
        amounts = (value * units[name][0] for value, (_, name) in zip(values, found, strict=True))
        result = bounded(sum(amounts, F(0)) / units[symbol][0])
    said = " ".join(
        f"{'1' if value in ('a', 'an') else value} {name}" for (value, _), (_, name) in zip(parts, found, strict=True)
    )
    shown = show(result)
    return Reading(f"{shown} {_agree(symbol, shown)}", f"units: {said} in {symbol}")


def _quantity(text: str, dimension: str) -> Fraction:
    if text in ("a", "an"):
        return F(1)
    if text.startswith("-"):
        if dimension != "temperature":
            raise Unclear
        return -number(text[1:])
    return number(text)


def _refuse_unpaired(first: str, second: str, dimension: str, minor: Fraction) -> None:
    units = TABLE[dimension]
    if (first, second) not in _PAIRS or minor >= units[first][0] / units[second][0]:
        raise Unclear


def _temperature(value: Fraction, source: str, target: str) -> Fraction:
    """By way of kelvin; nothing lies below 0 K. Raises `Unclear`."""
    units = TABLE["temperature"]
    kelvin = value * units[source][0] + _ZERO[source]
    if kelvin < 0:
        raise Unclear
    return (kelvin - _ZERO[target]) / units[target][0]


def _agree(symbol: str, shown: str) -> str:
    words = {"centuries": "century"}
    if shown != "1" or len(symbol) < 4 or not symbol.endswith("s"):
        return symbol
    return words.get(symbol, symbol[:-1])
