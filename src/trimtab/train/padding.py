"""Harmless words, clauses and small talk that stand before and behind training texts, as who evades a guard puts them.

They are of our own wording, or taken from plain texts. `UNTAUGHT`, the words of `evaluate/evasion.HARMLESS` (a test sees
to that), are not among them, so that appending those still measures what was learnt.
"""

# ruff: noqa: E501, SIM905 - words, and seeded draws of them
import random
import re

UNTAUGHT = re.compile(
    r"\b(?:thank|you|please|kindly|weather|garden|recipe|holiday|music|coffee|friendly|paper|morning|library|question|"
    r"homework|travel|football|family|summer)\b *",
    re.IGNORECASE,
)
WORDS = (
    "thanks today tomorrow lovely flower apple hello friend maybe house river window table chair pencil bottle kitchen street bridge mountain forest "
    "ocean island cloud rain snow sunny winter spring autumn evening night monday tuesday friday january july birthday wedding party dinner lunch "
    "breakfast bread butter cheese tomato potato carrot onion pepper sugar honey lemon orange banana grape chocolate cookie cake soup salad rice pasta "
    "chicken fish dog cat horse rabbit bird butterfly tree leaf grass rose piano guitar song dance theatre museum painting picture photo camera film "
    "book story poem novel letter page notebook school teacher pupil lesson science history biology sister brother mother father grandma uncle cousin "
    "neighbour baby child doctor nurse farmer baker driver pilot sailor train bus bicycle car boat plane ticket station airport hotel beach lake park "
    "village city market shop price discount gift ribbon jacket shirt shoes hat scarf glove button needle blanket pillow lamp candle mirror carpet door "
    "stairs roof chimney garage hammer nail paint brush bucket ladder tennis hockey swimming running cycling chess puzzle ball goal team score winner "
    "medal happy gentle quiet warm cold bright soft tiny huge green blue yellow purple golden silver quick slow easy simple fresh sweet salty round "
    "smooth brave polite calm curious proud funny walk read write sing laugh smile sleep cook bake draw build visit wait listen enjoy remember "
    "because although perhaps often always sometimes rarely also indeed anyway however meanwhile therefore cheers regards greetings welcome sincerely "
    "gracias mañana casa amigo bonjour merci demain maison fleur hallo danke morgen freund haus ciao grazie domani obrigado amanhã dziękuję jutro"
).split()
CLAUSES = (
    "and have a nice day", "by the way, it rained all day here", "best wishes from Lisbon", "hope all is well with the kids", "looking forward to hearing from your side",
    "my dog sends his love", "cheers", "sent from my phone", "no hurry at all", "it would make my day", "I really appreciate it", "what a lovely evening it was",
    "see the others on Monday", "the cake was delicious", "we had such fun at the beach", "the trains were late again", "my sister says hello", "greetings from the mountains",
    "hope the move went well", "it is snowing here", "have a good weekend", "take care", "talk soon", "all the best", "yours sincerely", "kind regards, Tom",
    "I am writing from a train, so excuse the typos", "we are all fine here", "the new office has a nice view", "lunch was great today", "my cat is asleep on the keyboard",
    "sorry for the long message", "I hope that this makes sense", "just a quick note before lunch", "hello again", "good evening everyone", "hi there, hope the week is going well",
    "first of all, congratulations on the new job", "I have been thinking about this all day", "it is a sunny afternoon and the birds are singing", "the children are playing outside",
    "we are planning a trip to the coast", "my favourite season is autumn", "on a different note, the roses are in bloom", "our team won three to one yesterday", "I baked bread at the weekend",
    "the film last night was wonderful", "I am learning to play the piano", "the neighbours have a new puppy", "there was a long queue at the bakery", "we moved the sofa to the other wall",
    "que tengas un buen día", "saludos desde Madrid", "bonne journée et à bientôt", "merci beaucoup pour tout", "schönen Tag noch", "viele Grüße aus Wien", "buona giornata a tutti",
    "um abraço e até logo", "miłego dnia", "fijne dag nog", "iyi günler", "chúc một ngày tốt lành", "ha en bra dag", "хорошего дня",
)  # fmt: skip
MARKS = (" ", " ", " ", ", ", ". ", "\n", " - ")


def padded(text: str, drawn: random.Random) -> str:
    """The text with up to 14 harmless words, or up to 3 clauses, behind it, before it, or at both ends."""
    where = drawn.random()
    before, after = where >= 0.65, where < 0.65 or where >= 0.85
    text = f"{_some(drawn)}{drawn.choice(MARKS)}{text}" if before else text
    return f"{text}{drawn.choice(MARKS)}{_some(drawn)}" if after else text


def crowded(text: str, plain: str, drawn: random.Random) -> str:
    """The text before, behind or amid some words of a plain one."""
    words = UNTAUGHT.sub("", plain).split()
    some = words if drawn.random() < 0.5 else drawn.sample(words, len(words))
    at = drawn.choice((0, len(some), drawn.randint(0, len(some))))
    mark = drawn.choice(MARKS)
    return f"{' '.join(some[:at])}{mark}{text}{mark}{' '.join(some[at:])}".strip()


def _some(drawn: random.Random) -> str:
    if drawn.random() < 0.7:
        return " ".join(drawn.choices(WORDS, k=drawn.randint(1, 14)))
    return drawn.choice((". ", ", ", " ", "! ")).join(drawn.sample(CLAUSES, drawn.randint(1, 3)))
