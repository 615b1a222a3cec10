"""Training texts with personal data: templates of our own in nine languages, filled by Faker, and presidio-research's.

A template names what is filled in `{KIND}`; the filled text and its spans come back. Faker is for training alone.
"""

# ruff: noqa: E501, S311, SIM905 - templates, and seeded draws of them
# pyright: reportMissingImports=false
import random
import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any, NamedTuple

SLOT = re.compile(r"\{([A-Z]+)\}")
LOCALES = {
    "en": ("en_US", "en_GB", "en_IN", "en_AU", "en_CA", "en_IE"), "es": ("es_ES", "es_MX", "es_AR"),
    "pt": ("pt_BR", "pt_PT"), "fr": ("fr_FR", "fr_CA"), "de": ("de_DE", "de_AT"), "it": ("it_IT",), "pl": ("pl_PL",),
    "vi": ("vi_VN",), "nl": ("nl_NL",), "hu": ("hu_HU",), "sv": ("sv_SE",), "cs": ("cs_CZ",), "fi": ("fi_FI",),
    "da": ("da_DK",), "no": ("no_NO",), "tr": ("tr_TR",), "id": ("id_ID",), "hr": ("hr_HR",), "ro": ("ro_RO",),
}  # fmt: skip
THEIRS = {
    "PERSON": "PERSON", "GPE": "PLACE", "ORGANIZATION": "ORGANIZATION", "STREET_ADDRESS": "ADDRESS",
    "ZIP_CODE": "ADDRESS", "NRP": "GROUP", "TITLE": "TITLE", "DATE_TIME": "DATE", "AGE": "AGE", "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE", "CREDIT_CARD": "CARD", "IBAN_CODE": "IBAN", "US_SSN": "ID", "US_DRIVER_LICENSE": "ID",
    "IP_ADDRESS": "IP", "DOMAIN_NAME": "URL",
}  # fmt: skip

TEMPLATES: dict[str, str] = {
    "en": r"""
My name is {PERSON} and I live at {ADDRESS}.
Hi, this is {PERSON} from {ORGANIZATION}. Please call me back on {PHONE}.
{PERSON} wrote to {PERSON} yesterday about the invoice.
Could you send the parcel to {ADDRESS}? The recipient is {PERSON}.
I work at {ORGANIZATION} in {PLACE} and need a new badge.
Dear {TITLE} {PERSON}, thank you for your letter of {DATE}.
{TITLE} {PERSON} moved from {PLACE} to {PLACE} in {DATE}.
The patient, {PERSON}, {AGE} years old, was admitted on {DATE}.
Patient {PERSON} (DOB {DATE}, SSN {ID}) was seen by {TITLE} {PERSON} at {ORGANIZATION}.
Please change my address from {ADDRESS} to {ADDRESS}.
{ORGANIZATION} announced that {PERSON} will become its chief executive.
{ORGANIZATION} and {ORGANIZATION} signed an agreement in {PLACE}.
we're flying from {PLACE} to {PLACE} with {PERSON} next week
ask {PERSON} if she has got the keys
i talked to {PERSON} from {ORGANIZATION} and he said no
My card {CARD} was charged twice by {ORGANIZATION}.
You can reach me at {EMAIL} or {PHONE}.
Email {EMAIL}, phone {PHONE}, website {URL}
Transfer 200 euros to {PERSON}, IBAN {IBAN}, at {ORGANIZATION}.
The server {IP} belongs to {ORGANIZATION}.
Name: {PERSON}
Address: {ADDRESS}
Company: {ORGANIZATION}
Customer: {PERSON}, {ADDRESS}, tel. {PHONE}
{PERSON}, {PERSON} and {PERSON} were all at the meeting in {PLACE}.
As {PERSON} put it: "We never wanted this."
{PERSON}'s passport number is {ID}.
Is {PERSON} still living on {ADDRESS}?
Our office in {PLACE} has moved to {ADDRESS}.
The {GROUP} minister {PERSON} met business leaders in {PLACE} on {DATE}.
She is {GROUP} and grew up in {PLACE}.
Deliver to: {PERSON}\n{ADDRESS}\n{PHONE}
{PERSON}\n{TITLE}\n{ORGANIZATION}\n{ADDRESS}\n{EMAIL}
{ORGANIZATION}\n{ADDRESS}\nTel: {PHONE}\nFax: {PHONE}
From: {PERSON} <{EMAIL}>\nTo: {PERSON} <{EMAIL}>\nSubject: dinner in {PLACE}
Kind regards,\n{PERSON}\n{ORGANIZATION}
Best, {PERSON}
Thanks,\n{PERSON}
Summarise this e-mail from {PERSON} about the {ORGANIZATION} contract.
Write a birthday card for my {AGE} year old son {PERSON}.
Translate: "{PERSON} lives in {PLACE}".
Find flights from {PLACE} to {PLACE} on {DATE} for {PERSON}.
Book a table for {PERSON} at eight.
Can you check whether {PERSON} paid invoice 4471?
The contract between {ORGANIZATION}, {ADDRESS}, and {PERSON}, born {DATE}, is void.
Witness {PERSON} stated that the car was parked near {ADDRESS}.
In {DATE}, {PERSON} founded {ORGANIZATION} together with {PERSON}.
A novel by {PERSON} about life in {PLACE}.
I listened to {PERSON} all night, best concert in {PLACE} ever!
{PERSON}: are you coming?\n{PERSON}: on my way
User: My zip code is 94110 and my name is {PERSON}.
Bot: What is your name? User: {PERSON}
Bot: Where do you live? User: {ADDRESS}
Bot: Which company do you work for? User: {ORGANIZATION}
{PLACE} is lovely in spring.
How is the weather in {PLACE} today?
{PERSON} turned {AGE} last week.
Our {GROUP} neighbours, the {PERSON} family, left for {PLACE}.
Meet us at the corner of {ADDRESS}.
The shop is on {ADDRESS}, next to the bank.
{ORGANIZATION} shares fell 3% after the report.
My manager at {ORGANIZATION} is called {PERSON}.
I used to be a {TITLE} at {ORGANIZATION}.
Remind me to call {PERSON} about the lease on {ADDRESS}.
{"name": "{PERSON}", "city": "{PLACE}", "employer": "{ORGANIZATION}"}
{"customer": {"name": "{PERSON}", "address": "{ADDRESS}", "phone": "{PHONE}"}}
INSERT INTO people VALUES ('{PERSON}', '{ADDRESS}', '{EMAIL}');
{PERSON},{EMAIL},{PHONE},{PLACE}
Starring {PERSON} and {PERSON}. Directed by {PERSON}.
My driving licence is {ID} and my national id {ID}.
""",
    "es": r"""
Me llamo {PERSON} y vivo en {ADDRESS}.
Hola, soy {PERSON} de {ORGANIZATION}. Llámame al {PHONE}.
Por favor, envíe el paquete a {ADDRESS}, a nombre de {PERSON}.
{PERSON} trabaja en {ORGANIZATION}, en {PLACE}.
El paciente {PERSON}, de {AGE} años, ingresó el {DATE}.
¿Qué tiempo hace hoy en {PLACE}?
Estimado señor {PERSON}: su pedido llegará a {PLACE} mañana.
Mi correo es {EMAIL} y mi teléfono {PHONE}.
Quiero transferir dinero a {PERSON}, IBAN {IBAN}.
La empresa {ORGANIZATION} abrió una oficina en {PLACE}.
Ayer hablé con {PERSON} sobre el contrato.
Un saludo,\n{PERSON}
Nombre: {PERSON}\nDirección: {ADDRESS}
""",
    "pt": r"""
Meu nome é {PERSON} e moro na {ADDRESS}.
Olá, aqui é {PERSON} da {ORGANIZATION}. Ligue para {PHONE}.
Envie a encomenda para {ADDRESS}, aos cuidados de {PERSON}.
{PERSON} trabalha na {ORGANIZATION} em {PLACE}.
A paciente {PERSON}, {AGE} anos, foi internada em {DATE}.
Como está o tempo em {PLACE}?
Caro senhor {PERSON}, o seu pedido foi enviado para {PLACE}.
O meu e-mail é {EMAIL}, telefone {PHONE}.
A {ORGANIZATION} anunciou ontem um acordo com a {ORGANIZATION}.
Falei com {PERSON} sobre a fatura.
Nome: {PERSON}\nEndereço: {ADDRESS}
""",
    "fr": r"""
Je m'appelle {PERSON} et j'habite {ADDRESS}.
Bonjour, ici {PERSON} de {ORGANIZATION}. Rappelez-moi au {PHONE}.
Veuillez livrer le colis à {PERSON}, {ADDRESS}.
{PERSON} travaille chez {ORGANIZATION} à {PLACE}.
Le patient {PERSON}, {AGE} ans, a été admis le {DATE}.
Quel temps fait-il à {PLACE} ?
Cher Monsieur {PERSON}, votre commande arrivera à {PLACE} demain.
Mon adresse e-mail est {EMAIL}, mon téléphone {PHONE}.
Virement à {PERSON}, IBAN {IBAN}.
La société {ORGANIZATION} ouvre un bureau à {PLACE}.
J'ai parlé avec {PERSON} hier soir.
Cordialement,\n{PERSON}
Nom : {PERSON}\nAdresse : {ADDRESS}
""",
    "de": r"""
Ich heiße {PERSON} und wohne in der {ADDRESS}.
Guten Tag, hier ist {PERSON} von der {ORGANIZATION}. Rufen Sie mich unter {PHONE} an.
Bitte liefern Sie das Paket an {PERSON}, {ADDRESS}.
{PERSON} arbeitet bei {ORGANIZATION} in {PLACE}.
Der Patient {PERSON}, {AGE} Jahre alt, wurde am {DATE} aufgenommen.
Wie ist das Wetter in {PLACE}?
Sehr geehrter Herr {PERSON}, Ihre Bestellung kommt morgen in {PLACE} an.
Meine E-Mail ist {EMAIL}, meine Nummer {PHONE}.
Überweisung an {PERSON}, IBAN {IBAN}.
Die Firma {ORGANIZATION} eröffnet ein Büro in {PLACE}.
Ich habe gestern mit {PERSON} über den Vertrag gesprochen.
Mit freundlichen Grüßen\n{PERSON}
Name: {PERSON}\nAnschrift: {ADDRESS}
Frau {PERSON} aus {PLACE} hat den Termin abgesagt.
""",
    "it": r"""
Mi chiamo {PERSON} e abito in {ADDRESS}.
Buongiorno, sono {PERSON} di {ORGANIZATION}. Mi richiami al {PHONE}.
Spedite il pacco a {PERSON}, {ADDRESS}.
{PERSON} lavora alla {ORGANIZATION} a {PLACE}.
Il paziente {PERSON}, {AGE} anni, è stato ricoverato il {DATE}.
Che tempo fa a {PLACE}?
Gentile signor {PERSON}, il suo ordine arriverà domani a {PLACE}.
La mia e-mail è {EMAIL}, il telefono {PHONE}.
Ieri ho parlato con {PERSON} del contratto.
Cordiali saluti,\n{PERSON}
""",
    "pl": r"""
Nazywam się {PERSON} i mieszkam przy {ADDRESS}.
{PERSON} pracuje w {ORGANIZATION} w mieście {PLACE}.
Proszę wysłać paczkę do {PERSON}, {ADDRESS}.
Mój e-mail to {EMAIL}, telefon {PHONE}.
""",
    "vi": r"""
Tôi tên là {PERSON}, tôi sống tại {ADDRESS}.
Chị {PERSON} làm việc cho {ORGANIZATION} ở {PLACE}.
Anh {PERSON} gọi cho tôi theo số {PHONE} nhé.
Xin gửi hàng đến {ADDRESS}, người nhận {PERSON}.
Thời tiết ở {PLACE} hôm nay thế nào?
Kính gửi ông {PERSON}, đơn hàng của ông đã đến {PLACE}.
Bệnh nhân {PERSON}, {AGE} tuổi, nhập viện ngày {DATE}.
Email của tôi là {EMAIL}.
""",
}
WORLD = ("nl", "hu", "sv", "cs", "fi", "da", "no", "tr", "id", "hr", "ro")
GROUPS = (
    "American British Irish German French Italian Spanish Mexican Brazilian Polish Indian Chinese Japanese Korean Thai"
    " Vietnamese Turkish Iranian Nigerian Kenyan Canadian Australian Swedish Danish Norwegian Finnish Dutch Belgian Swiss"
    " Austrian Russian Ukrainian Greek Portuguese Egyptian Israeli Catholic Muslim Jewish Hindu Buddhist Protestant"
    " Democrat Republican Conservative Scottish Welsh Czech Hungarian Romanian Croatian Serbian Cuban Colombian Peruvian"
).split()
TITLES = "Mr. Mrs. Ms. Miss Dr. Prof. Mr Mrs Ms Dr Sir Lord Judge Captain Professor Senator Rev.".split()
OFFICES = (
    "Sales Manager", "Head of Research", "Software Engineer", "Teacher", "Nurse", "Managing Director", "Accountant",
    "Secretary", "Prime Minister", "Attorney", "Plumber", "Data Analyst", "Chief Executive", "Bus driver",
)  # fmt: skip
NAMED = (
    "{} Inc.", "{} Ltd", "{} Group", "{} University", "University of {}", "{} Bank", "Bank of {}", "{} Hospital", "{} Records",
    "{} Airlines", "{} Foundation", "{} Museum", "{} City Council", "{} Insurance", "{} & Sons", "{} Technologies",
    "{} Motors", "{} Press", "{} FC", "{} Institute", "{} Symphony", "The {} Times", "{} Pharmaceuticals", "{}", "{} AG",
)  # fmt: skip
KNOWN = (
    "Google Microsoft Apple Amazon Facebook Netflix Siemens Bosch Nokia IBM Intel Oracle Tesla Toyota Honda Samsung Sony"
    " Unicef NATO NASA BBC CNN FIFA UNESCO Interpol Walmart Starbucks Nestlé Ikea Spotify Uber Airbnb PayPal Visa Boeing"
    " Airbus Pfizer Bayer Novartis Shell Chevron Volkswagen BMW Renault Vodafone Telefónica Barclays HSBC Citibank"
).split()


class Marked(NamedTuple):
    """A text and its spans (kind, start, end) in characters; `group` tells which texts share a template."""

    text: str
    spans: list[tuple[str, int, int]]
    group: str


def filled(template: str, fill: Callable[[str], str], group: str) -> Marked:
    """The template with every slot filled."""
    text, spans, at = "", [], 0
    for slot in SLOT.finditer(template):
        text += template[at : slot.start()]
        value = fill(slot[1])
        spans.append((slot[1], len(text), len(text) + len(value)))
        text, at = text + value, slot.end()
    return Marked(text + template[at:], spans, group)


def ours(count: int, seed: int) -> Iterator[Marked]:
    """`count` texts from the templates above; half of them English."""
    values, drawn = Values(seed), random.Random(seed)
    lines = {
        language: [line.replace("\\n", "\n") for line in text.strip().split("\n")]
        for language, text in TEMPLATES.items()
    }
    for _ in range(count):
        language = drawn.choice(("en", drawn.choice(sorted(lines))))
        number = drawn.randrange(len(lines[language]))
        template = lines[language][number]
        if drawn.random() < 0.25:
            template += drawn.choice((" ", "\n")) + drawn.choice(lines[language])
        names = drawn.choice(WORLD) if language == "en" and drawn.random() < 0.3 else language
        yield cased(filled(template, lambda kind, names=names: values.of(kind, names), f"{language}{number}"), drawn)


def refilled(masked: str, group: str, values: "Values", language: str, drawn: random.Random) -> Marked:
    """presidio-research's masked template with values of ours."""
    template = re.sub(r"\{\{([A-Z_]+)\}\}", lambda slot: "{" + THEIRS[slot[1]] + "}", masked)
    return cased(filled(template, lambda kind: values.of(kind, language), group), drawn)


def cased(marked: Marked, drawn: random.Random) -> Marked:
    """Now and then all small or all capital, as people write; only where no character changes its length."""
    luck = drawn.random()
    text = marked.text.lower() if luck < 0.12 else marked.text.upper() if luck < 0.16 else marked.text
    return marked._replace(text=text) if len(text) == len(marked.text) else marked


class Values:
    """Draws values of a kind in a language, from Faker's locales and from the lists above."""

    def __init__(self, seed: int) -> None:
        from faker import Faker

        self._drawn = random.Random(seed)
        self._fakers = {name: Faker(name) for names in LOCALES.values() for name in names}
        for number, faker in enumerate(self._fakers.values()):
            faker.seed_instance(seed + number)

    def of(self, kind: str, language: str) -> str:
        faker = self._fakers[self._drawn.choice(LOCALES[language])]
        return getattr(self, f"_{kind.lower()}")(faker)

    def _person(self, faker: Any) -> str:
        luck = self._drawn.random()
        first, last = faker.first_name(), faker.last_name()
        shapes = (f"{first} {last}", first, last, f"{first} {self._drawn.choice('ABCDEFGHJKLMNPRSTW')}. {last}",
                  f"{first[0]}. {last}", f"{last}, {first}", f"{first} {last}-{faker.last_name()}")  # fmt: skip
        odds = (0.45, 0.25, 0.12, 0.07, 0.04, 0.03, 0.04)
        total = 0.0
        for shape, share in zip(shapes, odds, strict=True):
            total += share
            if luck < total:
                return shape
        return shapes[0]

    def _place(self, faker: Any) -> str:
        luck = self._drawn.random()
        if luck < 0.55:
            return faker.city()
        return faker.country() if luck < 0.9 or not hasattr(faker, "state") else faker.state()

    def _organization(self, faker: Any) -> str:
        luck = self._drawn.random()
        if luck < 0.45:
            return faker.company()
        if luck < 0.6:
            return self._drawn.choice(KNOWN)
        return self._drawn.choice(NAMED).format(
            self._drawn.choice((faker.last_name(), faker.city(), faker.last_name()))
        )

    def _address(self, faker: Any) -> str:
        luck = self._drawn.random()
        whole = faker.address()
        if luck < 0.4:
            return whole.replace("\n", ", ") if self._drawn.random() < 0.6 else whole
        if luck < 0.7:
            return faker.street_address().replace("\n", " ")
        if luck < 0.85:
            return f"{faker.street_address()} {faker.city()}".replace("\n", " ")
        return faker.street_name()

    def _group(self, faker: Any) -> str:
        return self._drawn.choice(GROUPS)

    def _title(self, faker: Any) -> str:
        return self._drawn.choice(TITLES if self._drawn.random() < 0.7 else OFFICES)

    def _date(self, faker: Any) -> str:
        written = ("%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y", "%B %d, %Y", "%d %B %Y", "%Y", "%B", "%A", "%b %d", "%m/%d/%y")
        day = date(1930, 1, 1) + timedelta(days=self._drawn.randrange(36_000))  # Faker's own depend on the day it is
        return day.strftime(self._drawn.choice(written))

    def _age(self, faker: Any) -> str:
        return str(self._drawn.randint(1, 99))

    def _email(self, faker: Any) -> str:
        return faker.email()

    def _phone(self, faker: Any) -> str:
        return faker.phone_number()

    def _card(self, faker: Any) -> str:
        number = faker.credit_card_number()
        return (
            " ".join(number[at : at + 4] for at in range(0, len(number), 4)) if self._drawn.random() < 0.3 else number
        )

    def _iban(self, faker: Any) -> str:
        return faker.iban()

    def _id(self, faker: Any) -> str:
        return faker.ssn() if self._drawn.random() < 0.7 else faker.bothify("??######").upper()

    def _ip(self, faker: Any) -> str:
        return faker.ipv4() if self._drawn.random() < 0.7 else faker.ipv6()

    def _url(self, faker: Any) -> str:
        return faker.url() if self._drawn.random() < 0.5 else f"www.{faker.domain_name()}"
