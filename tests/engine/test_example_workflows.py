"""The example workflows, each run to its end: at an endpoint that speaks OpenAI's protocol, and by the demo model."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from agents.examples import workflows as examples
from agents.examples.trade import assistant as trade
from agents.models import Workflow
from agents.tools.functions import registry
from runs.models import Approval, Run, Status
from tests.engine.support import at_rest, data, events_of, finished, until
from tests.engine.workflows import start, steps_of
from tests.factories import AgentFactory, ChatModelFactory, ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGE = "I want a refund for the order A-1042, please: 20 EUR, it has a scratch."


def published(workspace, model) -> None:
    """The examples, with what they need of their workspace."""
    AgentFactory(workspace=workspace, name="writer", model=model)
    for name in ("calculator", *trade.TOOLS, *examples.TOOLS):
        idempotent = registry[name].idempotent
        ToolFactory(workspace=workspace, name=name, function=name, idempotent=idempotent)
    examples.create(workspace, model.name)


@pytest.fixture
def at_endpoint(workspace, endpoint):
    """The examples, their model at an endpoint that says what the test lets it say."""
    endpoint.reset()
    model = ChatModelFactory(
        workspace=workspace, name="gpt", provider="openai", model="text", base_url=endpoint.base_url
    )
    published(workspace, model)
    yield endpoint
    endpoint.reset()


@pytest.fixture
def by_demo_model(workspace) -> None:
    published(workspace, ChatModelFactory(workspace=workspace, name="demo"))


@pytest.fixture
def begin(worker, workspace, alice) -> Callable:
    """`await begin("trade-report", product="tea", …)`: a run of an example with this input."""

    async def make(name: str, **values) -> Run:
        workflow = await Workflow.objects.aget(workspace=workspace, name=name)
        return await start(alice, workflow, values)

    return make


async def ended(run: Run) -> Run:
    run = await finished(run)
    assert run.error is None
    return run


def as_json(**values) -> str:
    return json.dumps(values)


# trade-report and market-briefing


async def test_reports_on_a_product_in_a_country(begin, at_endpoint):
    at_endpoint.say("You write short trade reports", "Buy from Nordlicht.")
    run = await ended(await begin("trade-report", product="solar panels", country="Germany"))

    assert run.output == {
        "report": "Buy from Nordlicht.",
        "suppliers": 1,
        "best_supplier": "Nordlicht Solartechnik",
    }


async def test_asks_its_two_tools_side_by_side(begin, at_endpoint):
    run = await ended(await begin("trade-report", product="solar panels", country="Germany"))

    assert [node for number, node, _ in await steps_of(run.id) if number == 2] == ["count", "find"]


async def test_reports_where_nobody_supplies(begin, at_endpoint):
    run = await ended(await begin("trade-report", product="olive oil", country="Japan"))

    assert (run.output["suppliers"], run.output["best_supplier"]) == (0, "")


async def test_compares_markets_by_a_workflow_and_an_agent(begin, at_endpoint):
    at_endpoint.say("You write short trade reports", "A report.")
    at_endpoint.say("Compare these markets", "Begin in Germany.")
    run = await ended(
        await begin("market-briefing", product="solar panels", countries=["Germany", "Atlantis", "China"])
    )
    children = [child async for child in Run.objects.filter(parent=run).order_by("pk")]

    assert run.output == {
        "briefing": "Begin in Germany.",
        "countries": ["Germany", "China"],
        "missing": ["Atlantis"],
    }
    assert [child.executes for child in children] == ["trade-report"] * 3 + ["writer"]


# research-loop


async def test_searches_until_it_is_enough(begin, at_endpoint):
    at_endpoint.say("You plan a search", as_json(country="Brazil"))
    at_endpoint.say("You judge whether", as_json(enough=False, country="China"), as_json(enough=True))
    at_endpoint.say("Recommend a supplier", "Take the one in China.")
    run = await ended(await begin("research-loop", product="solar panels", wish="a short lead time"))

    assert run.output == {"report": "Take the one in China.", "searched": ["Brazil", "China"], "enough": True}


async def test_searches_three_times_at_most(begin, at_endpoint):
    at_endpoint.say("You plan a search", as_json(country="Spain"))
    at_endpoint.say("You judge whether", as_json(enough=False, country="India"))
    run = await ended(await begin("research-loop", product="olive oil", wish="any"))

    assert (run.output["searched"], run.output["enough"]) == (["Spain", "India", "India"], False)


async def test_takes_a_search_that_fails_for_a_finding(begin, at_endpoint):
    at_endpoint.say("You plan a search", as_json(country="Spain"))
    at_endpoint.say("You judge whether", as_json(enough=True))
    await ended(await begin("research-loop", product="unobtainium", wish="any"))

    assert "There is no product 'unobtainium'" in at_endpoint.requests[-1].body["messages"][-1]["content"]


# support-triage


@pytest.fixture
def refund(begin, at_endpoint) -> Callable:
    """`await refund()`: a run that waits for somebody who approves a refund."""

    async def make(**ticket) -> Run:
        at_endpoint.say("You sort messages", as_json(category="refund", order="A-1042", **ticket))
        return await at_rest(await begin("support-triage", message=MESSAGE))

    return make


async def test_asks_for_approval_of_the_amount_that_the_customer_wants(refund):
    run = await refund(amount=20)
    approval = await Approval.objects.aget(run=run)

    assert (approval.arguments, approval.default) == ({"order": "A-1042", "amount": 20.0}, "reject")


async def test_asks_for_all_that_was_paid_where_no_amount_is_said(refund):
    approval = await Approval.objects.aget(run=await refund())

    assert approval.arguments["amount"] == 49.0


async def test_refunds_what_was_approved(refund, decide):
    run = await refund(amount=20)
    await decide(run, "approve")

    assert (await ended(run)).output["reply"] == "We have refunded 20 EUR."


async def test_refunds_the_amount_that_a_person_has_set_instead(refund, decide):
    run = await refund(amount=20)
    await decide(run, "edit", arguments={"order": "A-1042", "amount": 15.5})

    assert (await ended(run)).output["reply"] == "We have refunded 15.5 EUR."


async def test_declines_a_refund_that_is_rejected(refund, decide):
    run = await refund(amount=20)
    await decide(run, "reject")

    assert (await ended(run)).output["reply"] == "We are sorry: we cannot refund the order A-1042."


async def test_hands_a_refund_that_fails_to_a_colleague(refund, decide):
    run = await refund(amount=20)
    await decide(run, "edit", arguments={"order": "A-1042", "amount": 500})

    assert "more than the 49 EUR that were paid" in (await ended(run)).output["reply"]


async def test_hands_an_unknown_order_to_a_colleague(begin, at_endpoint):
    at_endpoint.say("You sort messages", as_json(category="refund", order="Z-9999"))
    run = await ended(await begin("support-triage", message=MESSAGE))

    assert run.output["reply"].startswith("A colleague will write to you. (There is no order 'Z-9999'.")


async def test_lets_an_agent_answer_everything_else(begin, at_endpoint):
    at_endpoint.say("You sort messages", as_json(category="question"))
    at_endpoint.say("Write a short, friendly reply", "We open at nine.")
    run = await ended(await begin("support-triage", message="When do you open?"))

    assert run.output == {"category": "question", "reply": "We open at nine."}


async def test_fails_where_the_model_answers_with_something_else(begin, at_endpoint):
    at_endpoint.say("You sort messages", as_json(category="nonsense"))
    run = await finished(await begin("support-triage", message=MESSAGE))

    assert run.error["class"] == "provider_rejected"
    assert "'classify'" in run.error["message"]


# parallel-extraction


async def test_joins_what_its_branches_have_read(begin, at_endpoint):
    at_endpoint.say("You read facts", as_json(amount=1200))
    at_endpoint.say("You judge the tone", as_json(tone="urgent", risk=3))
    run = await ended(await begin("parallel-extraction", text="We offer it for 1200."))

    assert run.output == {
        "record": {"amount": 1200, "tone": "urgent", "words": 5},
        "risk": 4.0,
        "notes": ["No date is named."],
    }


# translation-review


async def test_translates_each_text_and_corrects_what_the_reviewer_finds(begin, at_endpoint):
    at_endpoint.say("Correct the translation", "die Bank (am Fluss)")
    at_endpoint.say("You review", as_json(accepted=True), as_json(accepted=False, problem="a river's bank"))
    at_endpoint.say("Translate into German", "Hallo", "die Bank")
    run = await ended(await begin("translation-review", texts=["hello", "the bank"], language="German"))

    assert run.output == {"translations": ["Hallo", "die Bank (am Fluss)"], "corrected": 1}


async def test_tells_the_corrector_what_is_wrong(begin, at_endpoint):
    at_endpoint.say("You review", as_json(accepted=False, problem="a river's bank"))
    await ended(await begin("translation-review", texts=["the bank"], language="German"))

    assert "Problem: a river's bank" in at_endpoint.requests[-1].body["messages"][-1]["content"]


# expense-approval


async def test_lets_small_expenses_pass(begin, at_endpoint):
    run = await ended(await begin("expense-approval", purpose="Pens", amounts=[12.5, 7]))

    assert run.output == {"approved": True, "total": 19.5}


@pytest.mark.parametrize("order", [("manager", "accounting"), ("accounting", "manager")], ids="-".join)
async def test_asks_two_people_at_once_who_answer_in_either_order(begin, decide, at_endpoint, order):
    run = await at_rest(await begin("expense-approval", purpose="Chairs", amounts=[450, 450]))
    first, second = order
    await decide(run, "approve", first)
    await until(run, lambda now: now.attempt == 2 and now.status == Status.WAITING)
    await decide(run, "approve", second)

    assert (await ended(run)).output == {"approved": True, "total": 900.0}


async def test_refuses_what_one_of_two_has_declined(begin, decide, at_endpoint):
    run = await at_rest(await begin("expense-approval", purpose="Chairs", amounts=[900]))
    await decide(run, "approve", "manager")
    await decide(run, "reject", "accounting")

    assert (await ended(run)).output["approved"] is False


# without any endpoint


BY_DEMO_MODEL = [
    ("trade-report", {"product": "solar panels", "country": "Germany"}),
    ("market-briefing", {"product": "solar panels", "countries": ["Germany", "China"]}),
    ("research-loop", {"product": "solar panels", "wish": "They should come from Vietnam."}),
    ("support-triage", {"message": "I have a question. When do you open?"}),
    ("parallel-extraction", {"text": "On 2026-05-01 we deliver 300 urgent chairs."}),
    ("translation-review", {"texts": ["Good morning"], "language": "German"}),
    ("expense-approval", {"purpose": "Pens", "amounts": [12.5]}),
]


@pytest.mark.parametrize(("name", "values"), BY_DEMO_MODEL, ids=[name for name, _ in BY_DEMO_MODEL])
async def test_comes_to_its_end_by_the_demo_model(begin, by_demo_model, name, values):
    assert (await ended(await begin(name, **values))).status == Status.COMPLETED


async def test_reads_a_refund_by_the_demo_model(begin, by_demo_model):
    run = await at_rest(await begin("support-triage", message=MESSAGE))

    assert (await Approval.objects.aget(run=run)).arguments == {"order": "A-1042", "amount": 20.0}


async def test_reads_where_to_search_by_the_demo_model(begin, by_demo_model):
    run = await ended(
        await begin("research-loop", product="solar panels", wish="They should come from Vietnam.")
    )

    assert run.output["searched"] == ["Vietnam"]


def test_shows_every_file_of_its_folder():
    assert sorted(path.stem for path in examples.FOLDER.glob("*.yaml")) == sorted(examples.NAMES)


async def test_names_the_node_of_each_event(begin, at_endpoint):
    run = await ended(await begin("trade-report", product="solar panels", country="Germany"))
    called = {
        data(event)["tool"]: event.node for event in await events_of(run.id) if "tool_call" in event.type
    }

    assert called == {"find_suppliers": "find", "trade_figures": "count", "company_background": "look_closer"}
