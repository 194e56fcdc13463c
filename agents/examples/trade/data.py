"""The trade assistant's data, read from `data/` on first use. All of it is fictional."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agents.examples.trade.names import Names, by_code

FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Country:
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Product:
    hs_code: str
    name: str
    unit: str
    """What an order counts in."""


@dataclass(frozen=True, slots=True)
class Company:
    """A supplier. `revenue_musd` is in million US dollars a year, `rating` from 1 to 5."""

    name: str
    name_zh: str
    country: str
    city: str
    kind: str
    founded: int
    employees: int
    revenue_musd: float
    products: tuple[str, ...]
    certifications: tuple[str, ...]
    minimum_order: int
    lead_time_days: int
    rating: float
    background: str


@dataclass(frozen=True, slots=True)
class Figure:
    """What a country imported and exported of a product in a year, in million US dollars."""

    country: str
    hs_code: str
    year: int
    imports: float
    exports: float


@cache
def countries() -> dict[str, Country]:
    """By ISO code."""
    return {row["code"]: Country(row["code"], row["name"]) for row in _rows("countries")}


@cache
def products() -> dict[str, Product]:
    """By HS code."""
    return {row["hs_code"]: Product(row["hs_code"], row["name"], row["unit"]) for row in _rows("products")}


@cache
def companies() -> tuple[Company, ...]:
    return tuple(map(_company, _rows("companies")))


@cache
def figures() -> tuple[Figure, ...]:
    return tuple(
        Figure(
            row["country"],
            row["hs_code"],
            int(row["year"]),
            float(row["imports_musd"]),
            float(row["exports_musd"]),
        )
        for row in _rows("figures")
    )


def country_named(text: str) -> Country:
    """The country of that name or code. Raises ToolFault with suggestions."""
    return _country_names().find(text)


def product_named(text: str) -> Product:
    """The product of that name (English or Chinese) or HS code. Raises ToolFault with suggestions."""
    return by_code(products(), text) or _product_names().find(text)


def company_named(text: str) -> Company:
    """The company of that name, or the only one whose name has it as a part. Raises ToolFault with suggestions."""
    return _company_names().find(text)


def certification_named(text: str) -> str:
    """The certification as companies have it. Raises ToolFault with suggestions."""
    return _certification_names().find(text)


@cache
def _country_names() -> Names[Country]:
    known = countries()
    rows = _rows("countries")
    return Names(
        "country", [(known[row["code"]], [row["name"], row["code"], *_other_names(row)]) for row in rows]
    )


@cache
def _product_names() -> Names[Product]:
    known = products()
    rows = _rows("products")
    return Names("product", [(known[row["hs_code"]], [row["name"], *_other_names(row)]) for row in rows])


@cache
def _company_names() -> Names[Company]:
    return Names("company", [(company, [company.name, company.name_zh]) for company in companies()])


@cache
def _certification_names() -> Names[str]:
    held = {certification for company in companies() for certification in company.certifications}
    return Names("certification", [(certification, [certification]) for certification in sorted(held)])


def _company(row: dict[str, str]) -> Company:
    return Company(
        name=row["name"],
        name_zh=row["name_zh"],
        country=row["country"],
        city=row["city"],
        kind=row["kind"],
        founded=int(row["founded"]),
        employees=int(row["employees"]),
        revenue_musd=float(row["revenue_musd"]),
        products=_values(row["products"]),
        certifications=_values(row["certifications"]),
        minimum_order=int(row["minimum_order"]),
        lead_time_days=int(row["lead_time_days"]),
        rating=float(row["rating"]),
        background=row["background"],
    )


def _other_names(row: dict[str, str]) -> tuple[str, ...]:
    return (row["name_zh"], *_values(row["aliases"]))


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _values(text: str) -> tuple[str, ...]:
    return tuple(value.strip() for value in text.split(";") if value.strip())
