import asyncio
import sys
import uuid
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from billing import overrides, pricing
from tests.factories import PriceFactory


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def expired(monkeypatch):
    """Prices are read anew each time."""
    monkeypatch.setattr(overrides, "TTL_SECONDS", 0)


def test_prefers_the_workspaces_own_price(workspace, now):
    own = PriceFactory(workspace=workspace, model="gpt-4o-mini", input_per_million=Decimal(9))
    found = pricing.price(workspace.id, "openai", "gpt-4o-mini", now)
    assert (found.input.base, found.version) == (Decimal("0.000009"), f"workspace:{own.id}")


def test_takes_the_price_in_force_at_that_moment(workspace, now):
    for days, amount in ((-10, 1), (-5, 2), (+5, 3)):
        PriceFactory(
            workspace=workspace, valid_from=now + timedelta(days=days), input_per_million=Decimal(amount)
        )
    moments = [now - timedelta(days=7), now, now + timedelta(days=6)]
    found = [pricing.price(workspace.id, "openai", "house-model", moment) for moment in moments]
    assert [prices.input.base * 1_000_000 for prices in found] == [1, 2, 3]


def test_has_no_own_price_before_the_first_one(workspace, now):
    PriceFactory(workspace=workspace, valid_from=now)
    assert pricing.price(workspace.id, "openai", "house-model", now - timedelta(seconds=1)) is None


def test_does_not_see_another_workspaces_price(workspace, other_workspace, now):
    PriceFactory(workspace=other_workspace)
    assert pricing.price(workspace.id, "openai", "house-model", now) is None


def test_charges_input_for_cached_tokens_without_a_price_of_their_own(workspace, now):
    PriceFactory(workspace=workspace, cached_per_million=None, cache_write_per_million=Decimal(0))
    found = pricing.price(workspace.id, "openai", "house-model", now)
    assert (found.of("cached").base, found.of("cache_write").base) == (found.input.base, 0)


def test_knows_the_price_of_a_listed_model(workspace, now):
    found = pricing.price(workspace.id, "openai", "gpt-4o-mini", now)
    assert (found.input.base, found.of("cached").base, found.output.base) == (
        Decimal("0.00000015"),
        Decimal("0.000000075"),
        Decimal("0.0000006"),
    )


def test_names_the_list_and_its_version(workspace, now):
    assert pricing.price(workspace.id, "openai", "gpt-4o-mini", now).version.startswith("genai-prices:0.")


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "house-model"), ("demo", "scripted"), ("nobody", "gpt-4o")]
)
def test_has_no_price_for_an_unknown_model(workspace, now, provider, model):
    assert pricing.price(workspace.id, provider, model, now) is None


def test_has_no_listed_price_in_another_currency(workspace, now):
    assert pricing.price(workspace.id, "openai", "gpt-4o-mini", now, currency="EUR") is None


def test_has_the_workspaces_own_price_in_its_currency(workspace, now):
    PriceFactory(workspace=workspace)
    assert pricing.price(workspace.id, "openai", "house-model", now, currency="EUR") is not None


def test_asks_the_database_once_for_many_calls(workspace, now, django_assert_num_queries):
    with django_assert_num_queries(1):
        for _ in range(100):
            pricing.price(workspace.id, "openai", "gpt-4o-mini", now)


def test_sees_a_change_when_the_list_has_expired(workspace, now, expired):
    pricing.price(workspace.id, "openai", "house-model", now)
    PriceFactory(workspace=workspace)
    assert pricing.price(workspace.id, "openai", "house-model", now) is not None


@pytest.mark.django_db(transaction=True)
async def test_may_be_asked_on_an_event_loop(now):
    price = await asyncio.to_thread(_committed_price)
    assert pricing.price(price.workspace_id, "openai", "house-model", now) is not None


@pytest.mark.django_db(transaction=True)
async def test_does_not_query_after_a_prefetch(now, monkeypatch):
    price = await asyncio.to_thread(_committed_price)
    await pricing.prefetch(price.workspace_id, price.provider, price.model)
    monkeypatch.setattr(overrides, "_read", None)
    assert pricing.price(price.workspace_id, "openai", "house-model", now) is not None


@pytest.mark.django_db(transaction=True)
async def test_reads_the_list_once_for_calls_at_the_same_time(monkeypatch):
    price = await asyncio.to_thread(_committed_price)
    read, really_read = [], overrides._read
    monkeypatch.setattr(overrides, "_read", lambda key: read.append(key) or really_read(key))
    await asyncio.gather(
        *(pricing.prefetch(price.workspace_id, price.provider, price.model) for _ in range(20))
    )
    assert len(read) == 1


async def test_lets_the_built_in_list_go_once_it_was_asked(monkeypatch):
    monkeypatch.setattr(overrides, "prefetch", lambda key: asyncio.sleep(0))
    await pricing.prefetch(uuid.uuid4(), "openai", "gpt-4o-mini")

    assert ("openai", "gpt-4o-mini") in pricing._listed
    assert "genai_prices.data" not in sys.modules


@pytest.mark.django_db(transaction=True)
def test_goes_without_a_price_when_the_database_does_not_answer(workspace, now):
    PriceFactory(workspace=workspace)
    with _locked_prices():
        assert pricing.price(workspace.id, "openai", "house-model", now) is None


@pytest.mark.django_db(transaction=True)
def test_goes_on_with_the_last_list_when_the_database_does_not_answer(workspace, now, expired):
    PriceFactory(workspace=workspace)
    pricing.price(workspace.id, "openai", "house-model", now)
    with _locked_prices():
        assert pricing.price(workspace.id, "openai", "house-model", now) is not None


def _committed_price():
    try:
        return PriceFactory()
    finally:
        connection.close()


class _locked_prices:
    """Another session holds the table, and this one does not wait for it."""

    def __enter__(self):
        settings = connection.get_connection_params()
        keys = ("host", "port", "user", "password", "dbname")
        self.other = psycopg.connect(**{key: settings[key] for key in keys if settings.get(key)})
        self.other.execute("LOCK TABLE billing_price IN ACCESS EXCLUSIVE MODE")
        connection.cursor().execute("SET lock_timeout = '50ms'")

    def __exit__(self, *exc_info):
        self.other.close()
        connection.cursor().execute("SET lock_timeout = 0")
