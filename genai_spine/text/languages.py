"""The languages of ISO 639-1 with their English names, and what else they are called.

Codes: the ISO 639-2 table of the iso-codes project 4.15; names: Unicode CLDR 48 (of Bengali, Tagalog and Twi:
ISO's). The first code of a line is ISO 639-1's; the others are of ISO 639-2 and 639-3 and mean the language
or a part of it. The first name is the one that is shown.
"""

import re
from typing import NamedTuple

TABLE = """
aa aar: Afar
ab abk: Abkhazian
ae ave: Avestan
af afr: Afrikaans
ak aka: Akan
am amh: Amharic
an arg: Aragonese
ar ara arb: Arabic
as asm: Assamese
av ava: Avaric
ay aym: Aymara
az aze azj: Azerbaijani
ba bak: Bashkir
be bel: Belarusian
bg bul: Bulgarian
bi bis: Bislama
bm bam: Bambara
bn ben: Bengali; Bangla
bo bod tib: Tibetan
br bre: Breton
bs bos: Bosnian
ca cat: Catalan; Valencian
ce che: Chechen
ch cha: Chamorro
co cos: Corsican
cr cre: Cree
cs ces cze: Czech
cu chu: Church Slavic; Old Slavonic; Church Slavonic; Old Bulgarian; Old Church Slavonic
cv chv: Chuvash
cy cym wel: Welsh
da dan: Danish
de deu ger: German
dv div: Divehi; Dhivehi; Maldivian
dz dzo: Dzongkha
ee ewe: Ewe
el ell gre: Greek; Modern Greek
en eng: English
eo epo: Esperanto
es spa: Spanish; Castilian
et est ekk: Estonian
eu eus baq: Basque
fa fas per pes prs: Persian; Farsi
ff ful: Fula; Fulah
fi fin: Finnish
fj fij: Fijian
fo fao: Faroese
fr fra fre: French
fy fry: Western Frisian; Frisian; West Frisian
ga gle: Irish; Irish Gaelic
gd gla: Scottish Gaelic; Gaelic
gl glg: Galician
gn grn: Guarani
gu guj: Gujarati
gv glv: Manx
ha hau: Hausa
he heb iw: Hebrew
hi hin: Hindi
ho hmo: Hiri Motu
hr hrv: Croatian
ht hat: Haitian Creole; Haitian
hu hun: Hungarian
hy hye arm: Armenian
hz her: Herero
ia ina: Interlingua
id ind in: Indonesian
ie ile: Interlingue; Occidental
ig ibo: Igbo
ii iii: Sichuan Yi; Nuosu
ik ipk: Inupiaq
io ido: Ido
is isl ice: Icelandic
it ita: Italian
iu iku: Inuktitut
ja jpn: Japanese
jv jav jw: Javanese
ka kat geo: Georgian
kg kon: Kongo
ki kik: Kikuyu; Gikuyu
kj kua: Kuanyama; Kwanyama
kk kaz: Kazakh
kl kal: Kalaallisut; Greenlandic
km khm: Khmer; Central Khmer; Cambodian
kn kan: Kannada
ko kor: Korean
kr kau: Kanuri
ks kas: Kashmiri
ku kur kmr ckb: Kurdish
kv kom: Komi
kw cor: Cornish
ky kir: Kyrgyz; Kirghiz
la lat: Latin
lb ltz: Luxembourgish; Letzeburgesch
lg lug: Ganda; Luganda
li lim: Limburgish; Limburgan; Limburger
ln lin: Lingala
lo lao: Lao
lt lit: Lithuanian
lu lub: Luba-Katanga
lv lav lvs: Latvian
mg mlg plt: Malagasy
mh mah: Marshallese
mi mri mao: Māori; Maori
mk mkd mac: Macedonian
ml mal: Malayalam
mn mon khk: Mongolian
mr mar: Marathi
ms msa may zsm: Malay
mt mlt: Maltese
my mya bur: Burmese; Myanmar
na nau: Nauru
nb nob: Norwegian Bokmål; Bokmal; Bokmål
nd nde: North Ndebele
ne nep npi: Nepali
ng ndo: Ndonga
nl nld dut: Dutch; Flemish
nn nno: Norwegian Nynorsk; Nynorsk
no nor: Norwegian
nr nbl: South Ndebele
nv nav: Navajo; Navaho
ny nya: Nyanja; Chichewa; Chewa
oc oci: Occitan; Provençal
oj oji: Ojibwa
om orm: Oromo
or ori ory: Odia; Oriya
os oss: Ossetic; Ossetian
pa pan: Punjabi; Panjabi
pi pli: Pali
pl pol: Polish
ps pus pbt: Pashto; Pushto
pt por: Portuguese; Brazilian Portuguese; European Portuguese
qu que quz: Quechua
rm roh: Romansh
rn run: Rundi; Kirundi
ro ron rum: Romanian; Moldavian; Moldovan
ru rus: Russian
rw kin: Kinyarwanda
sa san: Sanskrit
sc srd: Sardinian
sd snd: Sindhi
se sme: Northern Sami
sg sag: Sango
si sin: Sinhala; Sinhalese
sk slk slo: Slovak
sl slv: Slovenian
sm smo: Samoan
sn sna: Shona
so som: Somali
sq sqi alb als: Albanian
sr srp: Serbian
ss ssw: Swati; Swazi
st sot: Southern Sotho; Sesotho
su sun: Sundanese
sv swe: Swedish
sw swa swh: Swahili; Kiswahili
ta tam: Tamil
te tel: Telugu
tg tgk: Tajik
th tha: Thai
ti tir: Tigrinya
tk tuk: Turkmen
tl tgl fil: Tagalog; Filipino
tn tsn: Tswana; Setswana
to ton: Tongan; Tonga
tr tur: Turkish
ts tso: Tsonga
tt tat: Tatar
tw twi: Twi
ty tah: Tahitian
ug uig: Uyghur; Uighur
uk ukr: Ukrainian
ur urd: Urdu
uz uzb uzn: Uzbek
ve ven: Venda
vi vie: Vietnamese
vo vol: Volapük; Volapuk
wa wln: Walloon
wo wol: Wolof
xh xho: Xhosa; isiXhosa
yi yid ji ydd: Yiddish
yo yor: Yoruba
za zha: Zhuang; Chuang
zh zho chi cmn yue: Chinese; Mandarin; Mandarin Chinese; Simplified Chinese; Traditional Chinese; Cantonese
zu zul: Zulu; isiZulu
"""
TAG = re.compile(r"([a-z]{2,3})(?:[-_][a-z0-9]+)*", re.IGNORECASE)  # as in pt-BR
ASIDE = re.compile(r"\s*\([^)]*\)")  # as in "German (Germany)"


class Language(NamedTuple):
    code: str  # ISO 639-1
    name: str  # English


def _lines() -> list[tuple[list[str], list[str]]]:
    lines = (line.partition(": ") for line in TABLE.strip().splitlines())
    return [(codes.split(), names.split("; ")) for codes, _, names in lines]


LANGUAGES = {codes[0]: Language(codes[0], names[0]) for codes, names in _lines()}
_BY_CODE = {code: LANGUAGES[codes[0]] for codes, _ in _lines() for code in codes}
_BY_NAME = {name.casefold(): LANGUAGES[codes[0]] for codes, names in _lines() for name in names}


def language(name: str) -> Language | None:
    """Language of a code, a tag such as pt-BR, or an English name. None: not of ISO 639-1."""
    bare = " ".join(ASIDE.sub("", name).strip(" .,;:'\"`*").split())
    tag = TAG.fullmatch(bare)
    by_name = _BY_NAME.get(bare.casefold())
    if by_name or not tag:
        return by_name
    return _BY_CODE.get(tag[1].lower())


def is_unknown_code(name: str) -> bool:
    """Whether a text has the form of an ISO 639-1 code, or of a tag with one, that does not exist."""
    tag = TAG.fullmatch(name.strip())
    return tag is not None and len(tag[1]) == 2 and language(name) is None
