"""What an import of the built-in list adds, and that it adds nothing twice."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing import price_import, pricing
from billing.models import Price
from billing.price_import import BEGINNING, Listed, import_into, listed
from billing.rates import Rate, UnitPrices, cost
from billing.tokens import Tokens
from tests.factories import PriceFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

AUTUMN = datetime(2026, 9, 1, tzinfo=UTC)


def at(amount: str, **others) -> UnitPrices:
    return UnitPrices(Rate(Decimal(amount)), Rate(Decimal(amount) * 4), others, version="genai-prices:test")


def of(**by_start) -> list[Listed]:
    """The list, with a model whose price is this from the beginning, or from the autumn."""
    moments = {"beginning": BEGINNING, "autumn": AUTUMN}
    return [Listed("openai", "house-model", {moments[name]: prices for name, prices in by_start.items()})]


@pytest.fixture
def said(capsys):
    """`said("--workspace", "acme", …)`: what the command says."""

    def run(*options: str) -> str:
        call_command("import_prices", *options)
        return capsys.readouterr().out

    return run


def price_at(workspace, moment=None, model="house-model") -> Decimal | None:
    found = pricing.known_price(workspace.pk, "openai", model, moment or timezone.now(), "USD")
    return found and found.input.base


def test_imports_a_model(workspace, said):
    said("--workspace", workspace.slug, "--provider", "openai", "--model", "gpt-4o-mini")
    price = Price.objects.get()
    assert (price.is_imported, price.source) == (True, pricing.built_in_version())
    assert (price.input_per_million, price.cached_per_million) == (Decimal("0.15"), Decimal("0.075"))


def test_adds_nothing_twice(workspace, said):
    options = ("--workspace", workspace.slug, "--provider", "google")
    said(*options)
    assert ": 0 prices of " in said(*options)


def test_only_says_what_it_would_add(workspace, said):
    told = said("--workspace", workspace.slug, "--model", "gpt-4o-mini", "--dry-run")
    assert "openai/gpt-4o-mini from 1970-01-01, version 1: 0.15 in, 0.6 out" in told
    assert not Price.objects.exists()


def test_imports_into_all_workspaces_in_us_dollars(workspace, said):
    WorkspaceFactory(slug="euro", currency="EUR")
    told = said("--all", "--model", "gpt-4o-mini", "--provider", "openai")
    assert "euro: The list is in USD, the workspace in EUR." in told
    assert Price.objects.get().workspace == workspace


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workspace", "nowhere"], "no workspace"),
        (["--workspace", "acme", "--model", "no-such-model"], "no such model"),
        (["--workspace", "euro", "--model", "gpt-4o-mini"], "The list is in USD"),
    ],
)
def test_says_what_is_wrong(workspace, options, message):
    WorkspaceFactory(slug="euro", currency="EUR")
    with pytest.raises(CommandError, match=message):
        call_command("import_prices", *options)


def test_passes_over_models_that_cost_more_at_some_time_of_the_day(workspace, said):
    assert "deepseek/deepseek-reasoner: passed over" in said(
        "--workspace", workspace.slug, "--provider", "deepseek", "--dry-run"
    )


def test_costs_what_the_list_itself_says(workspace):
    """Every model of three providers, tiers and dates included, before and after the import."""
    tokens = Tokens(input=300_000, cached=250_000, output=10_000, input_audio=1_000, reasoning=20)
    models = [one for provider in ("openai", "anthropic", "google") for one in listed(provider)[0]]
    now = timezone.now()

    def costs() -> dict:
        return {
            one.model: cost(tokens, pricing.known_price(workspace.pk, one.provider, one.model, now, "USD"))
            for one in models
        }

    # A fine-tuned model goes by its id and a suffix, never by the id alone.
    before = {model: amount for model, amount in costs().items() if not model.startswith("ft:")}
    import_into(workspace, models)
    pricing.forget(workspace.pk)
    after = costs()
    assert {model: after[model] for model in before} == before


def test_goes_before_the_built_in_list(workspace):
    import_into(workspace, [Listed("openai", "gpt-4o-mini", {BEGINNING: at("0.5")})])
    assert price_at(workspace, model="gpt-4o-mini") == Decimal("0.5")


def test_finds_a_model_by_another_of_its_names(workspace):
    import_into(workspace, [Listed("openai", "gpt-4o-mini", {BEGINNING: at("0.5")})])
    assert price_at(workspace, model="gpt-4o-mini-2024-07-18") == Decimal("0.5")


def test_goes_behind_the_workspaces_own_price(workspace):
    PriceFactory(workspace=workspace, input_per_million=Decimal(9))
    import_into(workspace, of(beginning=at("0.5")))
    assert price_at(workspace) == Decimal("0.000009")


def test_does_not_touch_another_workspace(workspace, other_workspace):
    import_into(workspace, of(beginning=at("0.5")))
    assert price_at(other_workspace) is None


def test_begins_now_where_a_price_without_a_date_has_changed(workspace):
    import_into(workspace, of(beginning=at("0.5")))
    import_into(workspace, of(beginning=at("0.6")))
    pricing.forget(workspace.pk)
    moments = (timezone.now() - timedelta(minutes=1), timezone.now())
    assert [price_at(workspace, moment) for moment in moments] == [Decimal("0.5"), Decimal("0.6")]


def test_corrects_a_price_that_the_list_dates(workspace):
    import_into(workspace, of(beginning=at("0.5"), autumn=at("0.6")))
    import_into(workspace, of(beginning=at("0.5"), autumn=at("0.7")))
    versions = Price.objects.filter(valid_from=AUTUMN).order_by("version").values_list("version", flat=True)
    assert (list(versions), price_at(workspace)) == ([1, 2], Decimal("0.7"))


def test_ends_what_began_at_the_import_once_the_list_knows_the_date(workspace):
    import_into(workspace, of(beginning=at("0.5")))
    import_into(workspace, of(beginning=at("0.6")))
    import_into(workspace, of(beginning=at("0.5"), autumn=at("0.6")))
    pricing.forget(workspace.pk)
    assert [price_at(workspace, moment) for moment in (AUTUMN - timedelta(1), timezone.now())] == [
        Decimal("0.5"),
        Decimal("0.6"),
    ]
    assert import_into(workspace, of(beginning=at("0.5"), autumn=at("0.6"))) == []


def test_keeps_tiers_and_the_price_of_a_request(workspace):
    prices = UnitPrices(
        Rate(Decimal("0.000001"), ((1000, Decimal("0.000002")),)),
        Rate(Decimal("0.000004")),
        {"cached": Rate(Decimal("0.0000005"), ((1000, Decimal("0.0000007")),))},
        request=Decimal("0.014"),
        version="genai-prices:test",
    )
    import_into(workspace, [Listed("openai", "house-model", {BEGINNING: prices})])
    found = pricing.known_price(workspace.pk, "openai", "house-model", timezone.now(), "USD")
    assert (found.input, found.output, dict(found.others), found.request) == (
        prices.input, prices.output, prices.others, prices.request,
    )  # fmt: skip


def test_has_no_row_for_a_model_without_prices_of_input_and_output():
    amounts = SimpleNamespace(input_mtok=Decimal(1), output_mtok=None)
    assert price_import._by_start(SimpleNamespace(prices=amounts)) == {}
