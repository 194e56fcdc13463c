from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from agentplatform.lib.errors import Conflict
from billing import price_list, pricing
from billing.models import Price
from tests.factories import PriceFactory

PRICE = {"provider": "openai", "model": "house-model", "input_per_million": "2", "output_per_million": "8"}


@pytest.fixture
def future(workspace):
    return PriceFactory(workspace=workspace, valid_from=timezone.now() + timedelta(days=1))


def test_creates_a_price_that_counts_from_now(api, alice, workspace):
    api(alice).post("/billing/prices", PRICE)
    assert pricing.price(workspace.id, "openai", "house-model", timezone.now()).input.base == Decimal(
        "0.000002"
    )


@pytest.mark.django_db(transaction=True)
def test_counts_at_once_in_the_process_that_created_it(api, alice, workspace):
    pricing.price(workspace.id, "openai", "house-model", timezone.now())
    api(alice).post("/billing/prices", PRICE)
    assert pricing.price(workspace.id, "openai", "house-model", timezone.now()) is not None


def test_answers_what_it_created(api, alice):
    response = api(alice).post("/billing/prices", {**PRICE, "cached_per_million": 0.5})
    body = response.json()
    assert (response.status_code, body["input_per_million"], body["cached_per_million"]) == (201, "2", "0.5")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"input_per_million": "-1"}, "input_per_million"),
        ({"input_per_million": "1000001"}, "input_per_million"),
        ({"input_per_million": "0.0000001"}, "input_per_million"),
        ({"input_per_million": "NaN"}, "input_per_million"),
        ({"output_per_million": None}, "output_per_million"),
        ({"provider": "p" * 33}, "provider"),
        ({"valid_from": "2020-01-02T00:00:00Z", "valid_until": "2020-01-01T00:00:00Z"}, "valid_until"),
        ({"reasoning_per_million": "-1"}, "reasoning_per_million"),
        ({"per_request": "1000001"}, "per_request"),
        ({"tiers": {}}, "tiers"),
        ({"tiers": ["much"]}, "tiers.0"),
        ({"tiers": [{"above": 0}]}, "tiers.0.above"),
        ({"tiers": [{"above": 9}, {"above": 9}]}, "tiers.1.above"),
        ({"tiers": [{"above": 9, "input_per_million": 0.5}]}, "tiers.0.input_per_million"),
        ({"tiers": [{"above": 9, "input_per_million": "NaN"}]}, "tiers.0.input_per_million"),
        ({"tiers": [{"above": 9, "cached_per_million": "1"}]}, "tiers.0.cached_per_million"),
        ({"tiers": [{"above": 9, "prize": "1"}]}, "tiers.0.prize"),
        ({"prize": 1}, "prize"),
    ],
)
def test_names_what_is_wrong(api, alice, change, field):
    response = api(alice).post("/billing/prices", {**PRICE, **change})
    assert (response.status_code, response.json()["error"]["details"][0]["field"]) == (422, field)


def test_takes_a_price_from_the_same_moment_as_its_next_version(api, alice, workspace):
    dated = {**PRICE, "valid_from": "2026-01-01T00:00:00Z"}
    for amount in ("2", "3"):
        api(alice).post("/billing/prices", {**dated, "input_per_million": amount})
    found = api(alice).get("/billing/prices").json()["items"]
    shown = [(one["version"], one["input_per_million"], one["is_in_force"]) for one in found]
    assert shown == [(2, "3", True), (1, "2", False)]


def test_counts_the_newest_version(api, alice, workspace):
    dated = {**PRICE, "valid_from": "2026-01-01T00:00:00Z"}
    for amount in ("3", "2"):
        api(alice).post("/billing/prices", {**dated, "input_per_million": amount})
    found = pricing.price(workspace.id, "openai", "house-model", timezone.now())
    assert found.input.base == Decimal("0.000002")


def test_says_that_somebody_else_was_faster(workspace, monkeypatch):
    taken = PriceFactory(workspace=workspace)
    mine = PriceFactory.build(workspace=workspace, valid_from=taken.valid_from)
    monkeypatch.setattr(Price.objects, "filter", lambda **names: Price.objects.none())
    with pytest.raises(Conflict, match="Somebody else"):
        price_list.add(mine)


def test_takes_a_price_of_the_past(api, alice):
    dated = {**PRICE, "valid_from": "2020-01-01T00:00:00Z"}
    assert api(alice).post("/billing/prices", dated).status_code == 201


def test_takes_a_wrong_price_back_by_a_version_that_is_never_valid(api, alice, workspace):
    moment = "2020-01-01T00:00:00Z"
    api(alice).post("/billing/prices", {**PRICE, "valid_from": moment})
    api(alice).post("/billing/prices", {**PRICE, "valid_from": moment, "valid_until": moment})
    assert pricing.price(workspace.id, "openai", "house-model", timezone.now()) is None


def test_answers_tiers_as_it_keeps_them(api, alice):
    tiers = [{"above": 200000, "input_per_million": "4.50", "output_per_million": "12"}]
    body = api(alice).post("/billing/prices", {**PRICE, "tiers": tiers}).json()
    assert body["tiers"] == [{"above": 200000, "input_per_million": "4.5", "output_per_million": "12"}]


def test_lists_with_the_same_queries_however_many(api, alice, workspace, django_assert_max_num_queries):
    client = api(alice)
    client.get("/billing/prices")
    PriceFactory.create_batch(20, workspace=workspace)
    with django_assert_max_num_queries(5):
        client.get("/billing/prices")


def test_lists_by_model(api, alice, workspace):
    PriceFactory(workspace=workspace, model="one")
    PriceFactory(workspace=workspace, model="two")
    found = api(alice).get("/billing/prices", {"model": "two"}).json()
    assert [item["model"] for item in found["items"]] == ["two"]


def test_reads_one(api, audrey, workspace):
    price = PriceFactory(workspace=workspace)
    assert api(audrey).get(f"/billing/prices/{price.id}").json()["output_per_million"] == "8"


def test_deletes_a_price_that_is_not_in_force_yet(api, alice, future):
    assert (api(alice).delete(f"/billing/prices/{future.id}").status_code, Price.objects.count()) == (204, 0)


def test_keeps_a_price_that_has_been_in_force(api, alice, workspace):
    price = PriceFactory(workspace=workspace)
    assert (api(alice).delete(f"/billing/prices/{price.id}").status_code, Price.objects.count()) == (409, 1)


@pytest.mark.parametrize("method", ["put", "patch"])
def test_does_not_edit(api, alice, future, method):
    assert getattr(api(alice), method)(f"/billing/prices/{future.id}", PRICE).status_code == 405


@pytest.mark.parametrize(("name", "read", "write"), [
    ("alice", 200, 201), ("olivia", 200, 403), ("audrey", 200, 403), ("bob", 403, 403), ("vera", 403, 403),
])  # fmt: skip
def test_opens_to_whom_the_role_permits(api, request, name, read, write):
    client = api(request.getfixturevalue(name))
    answers = client.get("/billing/prices").status_code, client.post("/billing/prices", PRICE).status_code
    assert answers == (read, write)


def test_hides_prices_from_a_stranger(api, charlie, future):
    answers = [
        api(charlie).get(f"/billing/prices/{future.id}"),
        api(charlie).delete(f"/billing/prices/{future.id}"),
    ]
    assert [answer.status_code for answer in answers] == [404, 404]


def test_does_not_list_another_workspaces_prices(api, charlie, future):
    assert api(charlie).get("/billing/prices").json()["total"] == 0
