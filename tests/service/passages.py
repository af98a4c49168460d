"""Fixed corpus of 200 passages, and 100 questions whose passages are known."""

from collections.abc import Iterator
from typing import NamedTuple

TOWNS = """
Aalborg Bergamo Coimbra Dresden Esbjerg Faenza Gdansk Haarlem Imola Jaen Klagenfurt Lublin Malmo
Narvik Oulu Parma Quimper Rostock Sopot Tartu Uppsala Vilnius Wismar Xanten Ystad Zwolle Amberg
Brescia Cadiz Debrecen Erlangen Ferrara Graz Heerlen Innsbruck Jena Kosice Leiden Maribor Nantes
"""
PEOPLE = "Adler Bianchi Costa Duval Eriksen Fischer Garcia Holm Ivanova Jansen"
GOODS = "bearings gaskets valves filters hoses clamps springs rollers sensors pumps"
CAUSES = "flooding fire theft frost vandalism corrosion lightning overload leakage mould"


class Question(NamedTuple):
    """Question, and the name of the passage that answers it."""

    text: str
    passage: str


def one_of(words: str, place: int) -> str:
    listed = words.split()
    return listed[place % len(listed)]


def passages() -> dict[str, str]:
    """Passages by their names, five of each town."""
    found = {}
    for place, town in enumerate(TOWNS.split()):
        person, trainer = one_of(PEOPLE, place), one_of(PEOPLE, place * 3)
        goods, cause = one_of(GOODS, place * 3), one_of(CAUSES, place * 7)
        found |= {
            f"{town} depot": f"The depot at {town} keeps {goods} on {20 + place} shelves. {person} runs it, "
            f"and lorries are unloaded before {6 + place % 5} o'clock. Its code is WH-{4100 + place * 7}.",
            f"{town} lease": f"Our office lease for {town} was signed in {1990 + place}. The landlord asks "
            f"for {900 + place * 35} euros a month, and notice must be given {2 + place % 7} months ahead.",
            f"{town} engine": f"Engine number EN-{7000 + place * 13} at the {town} plant was overhauled last "
            f"spring. Its lubricating oil is to be replaced after {300 + place * 11} operating hours.",
            f"{town} claim": f"An insurance claim was filed for the {town} site because of {cause}. The "
            f"adjuster valued it at {15_000 + place * 450} euros and closed file CL-{2200 + place * 3}.",
            f"{town} staff": f"In {town} the night shift has {8 + place} people. Training of new colleagues "
            f"takes {3 + place % 6} weeks, and {trainer} looks after their first days.",
        }
    return found


def questions() -> Iterator[Question]:
    """Questions: in other words, by the number of a thing, and with a slip at the end of a town's name."""
    for place, town in enumerate(TOWNS.split()[:20]):
        yield Question(f"Who is running the {town} depot and when do lorries unload?", f"{town} depot")
        yield Question(f"How much rent does the landlord want for the office in {town}e?", f"{town} lease")
        yield Question(f"What happened to EN-{7000 + place * 13}?", f"{town} engine")
        yield Question(f"Which sum did the insurance adjuster value in {town}?", f"{town} claim")
        yield Question(f"How long do trainings of new colleagues take in {town}s?", f"{town} staff")
