"""The trade assistant's tools and data: what they answer, and how they help with a name that they do not know."""

from __future__ import annotations

import pytest

from agents.examples.trade.assistant import SYSTEM_PROMPT, TOOLS
from agents.examples.trade.data import FOLDER, companies, countries, figures, products
from agents.examples.trade.tools import FEW_SUPPLIERS
from agents.providers.demo_script import reply
from agents.tools.base import ToolFault
from agents.tools.call import call
from agents.tools.functions import registry
from tests.agents.specs import function_spec

SCHEMAS = {name: registry[name].schema for name in TOOLS}


async def value(function, **arguments):
    return (await call(function_spec(function), arguments)).content


async def suppliers(**arguments):
    return [supplier["company"] for supplier in (await value("find_suppliers", **arguments))["suppliers"]]


# --- the data ---


def test_says_that_its_data_are_fictional():
    assert "fictional" in (FOLDER / "README.md").read_text().lower()


def test_has_a_supplier_of_every_product():
    assert {code for company in companies() for code in company.products} == set(products())


def test_places_every_company_in_a_known_country():
    assert {company.country for company in companies()} == set(countries())


def test_has_one_figure_for_each_country_product_and_year():
    keys = {(figure.country, figure.hs_code, figure.year) for figure in figures()}
    assert len(keys) == len(figures()) == len(countries()) * len(products()) * 5


def test_writes_hs_codes_with_six_digits():
    assert all(len(code) == 6 and code.isdigit() for code in products())


def test_tells_the_model_of_every_tool():
    assert all(name in SYSTEM_PROMPT for name in TOOLS)


# --- suppliers ---


async def test_lists_the_best_rated_suppliers_first():
    found = await value("find_suppliers", product="solar panels")
    ratings = [supplier["rating"] for supplier in found["suppliers"]]
    assert ratings == sorted(ratings, reverse=True)


async def test_says_how_many_there_are_beyond_its_limit():
    found = await value("find_suppliers", product="solar panels")
    assert (len(found["suppliers"]), found["total"]) == (FEW_SUPPLIERS, 6)


async def test_lists_as_many_suppliers_as_asked():
    assert len(await suppliers(product="solar panels", limit=6)) == 6


async def test_tells_what_an_order_is_counted_in():
    assert (await value("find_suppliers", product="sports shoes"))["order_unit"] == "pair"


@pytest.mark.parametrize(
    "name", ["Solar panels", "solar panel", "PV modules", "photovoltaic", "854143", "8541.43", "光伏组件"]
)
async def test_knows_a_product_by_its_names_and_its_code(name):
    assert (await value("find_suppliers", product=name))["hs_code"] == "854143"


@pytest.mark.parametrize("country", ["Germany", "germany", "DE", "Deutschland", "德国"])
async def test_finds_suppliers_in_a_country(country):
    assert await suppliers(product="inverters", country=country) == [
        "Rheinwerk Wechselrichter",
        "Nordlicht Solartechnik",
    ]


async def test_finds_suppliers_that_hold_a_certification():
    assert await suppliers(product="black tea", certification="organic", country="China") == [
        "Minxi Tea House"
    ]


async def test_leaves_out_who_supplies_only_larger_orders():
    assert await suppliers(product="solar panels", largest_minimum_order=30) == [
        "Nordlicht Solartechnik",
        "Ibérica Fotovoltaica",
    ]


async def test_answers_that_there_is_no_such_supplier():
    assert (await value("find_suppliers", product="olive oil", country="Japan"))["total"] == 0


# --- figures ---


async def test_tells_the_figures_of_a_product_by_year():
    found = await value("trade_figures", country="Spain", product="olive oil", to_year=2021)
    assert found["years"] == [{"year": 2021, "imports": 540.0, "exports": 3100.0, "balance": 2560.0}]


async def test_tells_the_unit_of_figures():
    assert (await value("trade_figures", country="Spain"))["unit"] == "million USD"


async def test_tells_only_the_direction_that_is_asked_for():
    found = await value("trade_figures", country="CN", direction="exports", from_year=2025)
    assert [sorted(row) for row in found["years"]] == [["exports", "year"]]


async def test_adds_all_products_together():
    found = await value("trade_figures", country="VN", from_year=2021, to_year=2021)
    own = [figure for figure in figures() if (figure.country, figure.year) == ("VN", 2021)]
    assert found["years"][0]["imports"] == pytest.approx(sum(figure.imports for figure in own))


async def test_keeps_to_the_years_that_have_figures():
    found = await value("trade_figures", country="Japan", from_year=2000, to_year=2100)
    assert [row["year"] for row in found["years"]] == [2021, 2022, 2023, 2024, 2025]


@pytest.mark.parametrize(("first", "last"), [(1990, 2000), (2024, 2022), (2026, 2030)])
async def test_says_which_years_have_figures(first, last):
    with pytest.raises(ToolFault, match="2021 to 2025"):
        await value("trade_figures", country="Japan", from_year=first, to_year=last)


# --- background ---


@pytest.mark.parametrize("name", ["Helioharbor Solar", "helioharbor", "和晖港光伏"])
async def test_knows_a_company_by_its_names_and_a_part_that_is_only_its_own(name):
    assert (await value("company_background", company=name))["company"] == "Helioharbor Solar"


async def test_tells_products_and_country_of_a_company_by_name():
    found = await value("company_background", company="Kaffeekontor Weser")
    assert (found["country"], found["products"]) == ("Germany", ["Coffee beans", "Black tea"])


# --- names that nobody has ---


@pytest.mark.parametrize(
    ("function", "arguments", "suggestion"),
    [
        ("find_suppliers", {"product": "solor pannels"}, "Did you mean 'Solar panels'?"),
        ("find_suppliers", {"product": "electric"}, "'Electric cars' or 'Electric bicycles'"),
        ("find_suppliers", {"product": "bananas"}, "Known are: Solar panels, "),
        ("find_suppliers", {"product": "tea", "certification": "fair trade"}, "'Fairtrade'"),
        ("trade_figures", {"country": "Vietnm"}, "'Vietnam'"),
        ("trade_figures", {"country": "Atlantis"}, "Known are: China, Germany"),
        ("company_background", {"company": "Azulejos Turia"}, "'Azulejos del Turia'"),
        ("company_background", {"company": "solar"}, "'Helioharbor Solar' or "),
    ],
)
async def test_suggests_the_nearest_names(function, arguments, suggestion):
    with pytest.raises(ToolFault) as fault:
        await value(function, **arguments)
    assert suggestion in fault.value.message


@pytest.mark.parametrize("text", ["?", " ", "…", "\u0000", "x"])
async def test_knows_nothing_by_no_name(text):
    with pytest.raises(ToolFault, match="no product"):
        await value("find_suppliers", product=text)


@pytest.mark.parametrize("arguments", [{}, {"product": ""}, {"product": "tea", "limit": 0}, {"goods": "tea"}])
async def test_refuses_arguments_that_do_not_fit_the_schema(arguments):
    with pytest.raises(ToolFault, match="schema"):
        await value("find_suppliers", **arguments)


# --- the demo model, which reads questions about trade ---


@pytest.mark.parametrize(
    ("question", "calls"),
    [
        ("Who supplies solar panels?", {"find_suppliers": {"product": "solar panels"}}),
        (
            "Which companies in Vietnam make sports shoes?",
            {"find_suppliers": {"product": "sports shoes", "country": "Vietnam"}},
        ),
        ("Suppliers of coffee from Brazil.", {"find_suppliers": {"product": "coffee", "country": "Brazil"}}),
        ("谁供应太阳能电池板？", {"find_suppliers": {"product": "太阳能电池板"}}),
        ("请找咖啡豆的供应商", {"find_suppliers": {"product": "咖啡豆"}}),
        (
            "How much coffee did Germany import in 2023?",
            {
                "trade_figures": {
                    "country": "Germany",
                    "product": "coffee",
                    "direction": "imports",
                    "from_year": 2023,
                    "to_year": 2023,
                }
            },
        ),
        (
            "Germany's imports of coffee since 2022",
            {
                "trade_figures": {
                    "country": "Germany",
                    "product": "coffee",
                    "direction": "imports",
                    "from_year": 2022,
                }
            },
        ),
        ("What did Vietnam export?", {"trade_figures": {"country": "Vietnam", "direction": "exports"}}),
        (
            "德国进口了多少咖啡？",
            {"trade_figures": {"country": "德国", "product": "咖啡", "direction": "imports"}},
        ),
        ("Tell me about Helioharbor Solar.", {"company_background": {"company": "Helioharbor Solar"}}),
        ("介绍一下玉窑陶瓷", {"company_background": {"company": "玉窑陶瓷"}}),
        (
            "Who supplies black tea, and what did China export?",
            {
                "find_suppliers": {"product": "black tea"},
                "trade_figures": {"country": "China", "direction": "exports"},
            },
        ),
        ("Hello", {}),
    ],
)
def test_is_called_by_the_demo_model_as_the_question_asks(question, calls):
    assert {call.name: call.arguments for call in reply(question, [], SCHEMAS).calls} == calls


async def test_is_quoted_by_the_demo_model_line_by_line():
    answer = (await call(function_spec("find_suppliers"), {"product": "solar panels"})).text
    said = reply("Who supplies solar panels?", [("find_suppliers", answer)], SCHEMAS).text
    assert len(said.splitlines()) == 1 + FEW_SUPPLIERS
