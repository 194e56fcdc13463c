"""How the demo model understands questions about trade: it reads what they ask for, and knows none of the answers."""

from __future__ import annotations

import re
from typing import Any

PLACE = r"(?:the )?[A-Z]\w*(?: [A-Z]\w*)*"
"""A country's name, by its capital letters."""
SUPPLIERS = re.compile(
    rf"(?:\b(?:[Ww]ho|[Ww]hich companies)\b(?: in (?P<place>{PLACE}))?[^?.!]*?"
    r"\b(?:suppl(?:y|ies)|sells?|makes?|offers?|exports?)"
    r"|\b[Ss]uppliers? (?:of|for)|\b[Ww]here (?:can|could|do) (?:I|we) (?:buy|get|source))\s+"
    rf"(?P<product>[^?.!,]+?)(?: (?:from|in) (?P<country>{PLACE}))?\s*(?:[?.!,]|$)",
    re.M,
)
SUPPLIERS_ZH = re.compile(
    r"(?:谁|哪些公司|哪家公司|哪些供应商)(?:供应|生产|销售|卖)(?P<product>[^？。，?]+)|(?P<goods>[^？。，?找请]+?)的供应商"
)
FIGURES = (
    re.compile(
        rf"\b[Hh]ow (?:much|many) (?P<product>[^?.!,]+?) (?:did|does|do|has|have) (?P<country>{PLACE}) "
        r"(?P<direction>import|export)"
    ),
    re.compile(
        rf"(?P<country>{PLACE})['’]s? (?P<direction>import|export)s?(?: of (?P<product>[^?.!,]+?))?"
        r"(?= in \d| from \d| since| between|[?.!,]|$)",
        re.M,
    ),
    re.compile(
        r"\b(?P<direction>[Ii]mport|[Ee]xport)s? of (?P<product>[^?.!,]+?) "
        rf"(?:of|by|in|into|to|from) (?P<country>{PLACE})"
    ),
    re.compile(rf"\b[Ww]hat (?:did|does) (?P<country>{PLACE}) (?P<direction>import|export)"),
    re.compile(
        r"(?P<country>[\u4e00-\u9fff]{2,3}?)(?:\d{4}年)?(?:的)?(?P<direction>进口|出口)(?:了)?(?:多少|的)?"
        r"(?P<product>[\u4e00-\u9fff]+?)??(?:额|量)?(?:[？。，?]|$)"
    ),
)
DIRECTIONS = {"import": "imports", "export": "exports", "进口": "imports", "出口": "exports"}
YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
SINCE = re.compile(r"\bsince\b|\bfrom (?:19|20)\d\d\s*(?:on\b|[?.!,]|$)|以来")
COMPANY = re.compile(
    r"(?:\b[Tt]ell me (?:more )?about|\b[Bb]ackground of|\b[Ww]hat (?:do you know about|kind of company is)"
    r"|\b[Ww]ho (?:is|are))\s+(?:the (?:company|supplier) )?(?P<company>[^?!,]+?)\s*(?:[?!,.]|$)",
    re.M,
)
COMPANY_ZH = re.compile(r"(?:介绍一下|介绍)(?P<company>[^？。，?的]+)|(?P<firm>[^？。，?介绍]+?)的背景")


def suppliers(question: str) -> dict[str, Any] | None:
    """The arguments of find_suppliers, or None."""
    if match := SUPPLIERS.search(question):
        return _given(product=match["product"].strip(), country=match["country"] or match["place"])
    match = SUPPLIERS_ZH.search(question)
    return {"product": (match["product"] or match["goods"]).strip()} if match else None


def figures(question: str) -> dict[str, Any] | None:
    """The arguments of trade_figures, or None."""
    match = next((found for pattern in FIGURES if (found := pattern.search(question))), None)
    if match is None:
        return None
    asked = match.groupdict()
    return _given(
        country=asked["country"],
        product=asked.get("product"),
        direction=DIRECTIONS[asked["direction"].lower()],
        **_years(question),
    )


def background(question: str) -> dict[str, Any] | None:
    """The arguments of company_background, or None."""
    if match := COMPANY.search(question):
        return {"company": match["company"]}
    match = COMPANY_ZH.search(question)
    return {"company": match["company"] or match["firm"]} if match else None


def _years(question: str) -> dict[str, int]:
    years = [int(year) for year in YEAR.findall(question)]
    if not years:
        return {}
    last = {} if SINCE.search(question) and len(years) == 1 else {"to_year": max(years)}
    return {"from_year": min(years), **last}


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value}
