"""Checksums and assignment rules of numbers: Luhn (cards), ISO 7064 mod 97-10 (IBAN), US social security."""

import re

# Digits of a number by the first of them, ISO/IEC 7812: Amex, Diners and JCB; Visa; Mastercard; others.
CARD_LENGTHS = {"2": {16}, "3": {14, 15, 16}, "4": {13, 16, 19}, "5": {16}, "6": {16, 17, 18, 19}}
CARD_ISSUERS = re.compile(r"4|5|6|3[04-9]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)")
DOUBLED = str.maketrans("0123456789", "0246813579")
LETTERS = str.maketrans({chr(code): str(code - 55) for code in range(65, 91)})  # A is 10, Z is 35

# Characters of an IBAN by its country: SWIFT's IBAN registry.
IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG YE",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}


def is_card(digits: str) -> bool:
    """Whether ASCII digits are a payment card number: issuer, length and Luhn's check digit."""
    if len(digits) not in CARD_LENGTHS.get(digits[0], ()) or not CARD_ISSUERS.match(digits):
        return False
    return _luhn(digits) and len(set(digits)) > 1


def is_iban(text: str) -> bool:
    """Whether letters and digits, without spaces, are an IBAN: country, length and check digits."""
    if IBAN_LENGTHS.get(text[:2].upper()) != len(text):
        return False
    return int((text[4:] + text[:4]).upper().translate(LETTERS)) % 97 == 1


def is_social_security(digits: str) -> bool:
    """Whether nine ASCII digits may be a US social security number; areas 000, 666 and 9xx are none."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def _luhn(digits: str) -> bool:
    return sum(map(int, digits[-2::-2].translate(DOUBLED) + digits[-1::-2])) % 10 == 0
