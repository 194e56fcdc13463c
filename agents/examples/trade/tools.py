"""The three tools of the trade assistant, registered as functions: suppliers, figures, background."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agents.examples.trade.data import (
    Company,
    Figure,
    certification_named,
    companies,
    company_named,
    countries,
    country_named,
    figures,
    product_named,
    products,
)
from agents.tools.base import ToolFault
from agents.tools.functions import Schema, function

UNIT = "million USD"
FEW_SUPPLIERS = 5
MOST_SUPPLIERS = 20
LONGEST_NAME = 100

PRODUCT: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_NAME,
    "description": "A product by its name (English or Chinese) or HS code, for example solar panels, 854143.",
}
COUNTRY: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_NAME,
    "description": "A country by its name or ISO code, for example Germany, VN.",
}
YEAR: Schema = {"type": "integer", "minimum": 1900, "maximum": 2100}


@function(
    "find_suppliers",
    "Finds companies that supply a product, the best rated first, with smallest order and lead time (days).",
    idempotent=True,
    required=("product",),
    product=PRODUCT,
    country=COUNTRY,
    certification={
        "type": "string",
        "minLength": 1,
        "maxLength": LONGEST_NAME,
        "description": "One that they must hold, for example ISO 14001, Fairtrade.",
    },
    largest_minimum_order={
        "type": "integer",
        "minimum": 1,
        "description": "Leaves out who supplies only larger orders; counted in the product's unit.",
    },
    limit={
        "type": "integer",
        "minimum": 1,
        "maximum": MOST_SUPPLIERS,
        "description": f"How many to list. Default: {FEW_SUPPLIERS}.",
    },
)
def find_suppliers(
    product: str,
    country: str = "",
    certification: str = "",
    largest_minimum_order: int | None = None,
    limit: int = FEW_SUPPLIERS,
) -> dict[str, Any]:
    wanted = product_named(product)
    place = country_named(country).code if country else ""
    held = certification_named(certification) if certification else ""
    found = [
        company
        for company in companies()
        if wanted.hs_code in company.products
        and (not place or company.country == place)
        and (not held or held in company.certifications)
        and (largest_minimum_order is None or company.minimum_order <= largest_minimum_order)
    ]
    found.sort(key=lambda company: (-company.rating, company.name))
    return {
        "product": wanted.name,
        "hs_code": wanted.hs_code,
        "order_unit": wanted.unit,
        "total": len(found),
        "suppliers": [_offer(company) for company in found[:limit]],
    }


@function(
    "trade_figures",
    f"Tells what a country imported and exported each year, in {UNIT}: of one product, or of all together.",
    idempotent=True,
    required=("country",),
    country=COUNTRY,
    product=PRODUCT,
    direction={
        "type": "string",
        "enum": ["imports", "exports", "both"],
        "description": "Which figures. Default: both, with the balance (exports - imports).",
    },
    from_year=YEAR,
    to_year=YEAR,
)
def trade_figures(
    country: str,
    product: str = "",
    direction: str = "both",
    from_year: int | None = None,
    to_year: int | None = None,
) -> dict[str, Any]:
    place = country_named(country)
    wanted = product_named(product) if product else None
    years = _years(from_year, to_year)
    rows = [
        figure
        for figure in figures()
        if figure.country == place.code
        and figure.year in years
        and (wanted is None or figure.hs_code == wanted.hs_code)
    ]
    return {
        "country": place.name,
        "product": wanted.name if wanted else "all products",
        **({"hs_code": wanted.hs_code} if wanted else {}),
        "unit": UNIT,
        "years": [_year(year, rows, direction) for year in years],
    }


@function(
    "company_background",
    "Tells the background of a company: where, since when, how large, what it supplies, and its story.",
    idempotent=True,
    required=("company",),
    company={
        "type": "string",
        "minLength": 1,
        "maxLength": LONGEST_NAME,
        "description": "Its name, or a part of it that is only its own. find_suppliers tells names.",
    },
)
def company_background(company: str) -> dict[str, Any]:
    found = company_named(company)
    return {
        "company": found.name,
        "name_zh": found.name_zh,
        "country": countries()[found.country].name,
        "city": found.city,
        "kind": found.kind,
        "founded": found.founded,
        "employees": found.employees,
        "revenue_million_usd": found.revenue_musd,
        "products": [products()[code].name for code in found.products],
        "certifications": list(found.certifications),
        "rating": found.rating,
        "background": found.background,
    }


def _offer(company: Company) -> dict[str, Any]:
    return {
        "company": company.name,
        "country": countries()[company.country].name,
        "city": company.city,
        "kind": company.kind,
        "minimum_order": company.minimum_order,
        "lead_time_days": company.lead_time_days,
        "certifications": list(company.certifications),
        "rating": company.rating,
    }


def _years(first: int | None, last: int | None) -> range:
    """The years with figures among those that are asked for. Raises ToolFault where there is none."""
    known = sorted({figure.year for figure in figures()})
    years = range(max(first or known[0], known[0]), min(last or known[-1], known[-1]) + 1)
    if not years:
        raise ToolFault(f"There are figures of the years {known[0]} to {known[-1]}. Ask for some of these.")
    return years


def _year(year: int, rows: Iterable[Figure], direction: str) -> dict[str, Any]:
    of_year = [figure for figure in rows if figure.year == year]
    imports = round(sum(figure.imports for figure in of_year), 1)
    exports = round(sum(figure.exports for figure in of_year), 1)
    told = {"imports": imports, "exports": exports, "balance": round(exports - imports, 1)}
    return {"year": year, **(told if direction == "both" else {direction: told[direction]})}
