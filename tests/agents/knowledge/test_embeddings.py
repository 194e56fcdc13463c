"""Embedding models: how they are asked and paid for, and search by meaning beside words."""

from __future__ import annotations

import math

import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile

from agents.knowledge import documents, vectors
from agents.knowledge.embedding import embedded, embedder_of
from agents.knowledge.search import search
from agents.metering import Payer
from agents.models import ChatModel, ChunkVector
from agents.providers import local_embeddings
from agents.providers.faults import ProviderFault
from billing.models import Entry, Outcome, UsageRecord
from tests.factories import AgentFactory, ChatModelFactory, PriceFactory

pytestmark = pytest.mark.django_db

LEAVE = (
    "# Leave\n\nEverybody has thirty days of leave a year.\n\n# Sickness\n\nCall in before nine o'clock.\n"
)


@pytest.fixture
def client(api, olivia):
    return api(olivia)


@pytest.fixture
def embedding_base(base, embedding_model):
    """`embedding_base("embed-8")`: the base, embedded by such a model."""

    def make(behaviour: str = "embed-16", **values):
        documents.save_base(base, {"embedding_model": embedding_model(behaviour, **values)}, None)
        return base

    return make


def vectors_of(base) -> int:
    return ChunkVector.objects.filter(knowledge_base_id=base.pk).count()


# --- the endpoint ---


def test_embeds_the_chunks_of_a_document(embedding_base, add, model_endpoint):
    base = embedding_base()
    assert add(base, "leave.md", LEAVE).status == "ready"
    assert vectors_of(base) == 2
    [request] = [received for received in model_endpoint.requests if received.path == "/v1/embeddings"]
    # With the headings, which say what it is about.
    assert request.body["input"][0].startswith("Leave\nEverybody")
    assert request.body["encoding_format"] == "float"


def test_sends_the_models_own_key(embedding_base, add, model_endpoint, workspace):
    from agents.editing import save

    base = embedding_base()
    save(base.embedding_model, None, {"api_key": "sk-own-key-1234"})
    add(base, "leave.md", LEAVE)
    assert {received.api_key for received in model_endpoint.requests} == {"sk-own-key-1234"}


def test_asks_for_so_many_dimensions(embedding_base, add):
    base = embedding_base(parameters={"dimensions": 5})
    add(base, "leave.md", LEAVE)
    assert vectors.dimensions_of(base.pk, embedder_of(base, Payer()).space) == 5


def test_tries_again_after_a_fault_that_passes(embedding_base, add, monkeypatch):
    monkeypatch.setattr("agents.knowledge.embedding.BACKOFF_SECONDS", 0.01)
    base = embedding_base("fail-once-500")
    assert add(base, "leave.md", LEAVE).status == "ready"
    assert vectors_of(base) == 2


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("error-401", "refused the model's API key"),
        ("error-400", "HTTP 400"),
        ("embed-8-short", "could not be understood"),
        ("garbage-html", "could not be understood"),
        ("garbage-shape", "could not be understood"),
    ],
)
def test_says_what_is_wrong_with_the_endpoint(embedding_base, add, monkeypatch, behaviour, said):
    monkeypatch.setattr("agents.knowledge.embedding.BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr("agents.knowledge.indexing.MOST_TRIES", 1)
    document = add(embedding_base(behaviour), "leave.md", LEAVE)
    assert document.status == "failed"
    assert said in document.error
    assert vectors_of(document.knowledge_base) == 0


def test_puts_a_document_off_while_the_endpoint_is_away(embedding_base, add, monkeypatch):
    monkeypatch.setattr("agents.knowledge.embedding.BACKOFF_SECONDS", 0.01)
    document = add(embedding_base("error-500"), "leave.md", LEAVE)
    assert (document.status, document.tries) == ("pending", 1)
    assert "HTTP 500" in document.error


def test_refuses_private_addresses(base, workspace, add, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = []
    model = ChatModelFactory(
        workspace=workspace,
        provider="openai",
        purpose="embedding",
        model="e",
        base_url="http://127.0.0.1:9/v1",
    )
    documents.save_base(base, {"embedding_model": model}, None)
    document = add(base, "leave.md", LEAVE)
    assert (document.status, "127.0.0.1" in document.error) == ("failed", True)


def test_refuses_vectors_of_another_length(embedding_base, add, model_endpoint):
    base = embedding_base("embed-8")
    add(base, "leave.md", LEAVE)
    model_endpoint.script("embed-9")
    document = add(base, "other.md", "Something else.")
    assert (document.status, "9 dimensions" in document.error) == ("failed", True)


# --- money ---


def test_an_embedding_stands_in_the_ledger(embedding_base, add, workspace, actor, olivia):
    PriceFactory(workspace=workspace, model="embed-16")
    base = embedding_base()
    document = add(base, "leave.md", LEAVE, actor(olivia))
    opened, settled = UsageRecord.objects.order_by("timestamp", "pk")
    words = sum(len(chunk.heading.split()) + len(chunk.text.split()) for chunk in document.chunks.all())
    assert (opened.entry, settled.entry, settled.status) == (Entry.OPENED, Entry.SETTLED, Outcome.OK)
    assert (settled.input_tokens, settled.output_tokens, str(settled.user_name)) == (words, 0, "olivia")
    assert settled.cost > 0


def test_a_search_is_paid_by_who_searches(embedding_base, add, client):
    add(embedding_base(), "leave.md", LEAVE)
    UsageRecord.objects.all()
    before = UsageRecord.objects.count()
    assert client.get("/knowledge-bases/handbook/search", {"q": "holidays"}).status_code == 200
    assert UsageRecord.objects.count() == before + 2
    assert UsageRecord.objects.order_by("-pk").first().user_name.name == "olivia"


def test_estimates_where_the_endpoint_says_nothing(embedding_base, add):
    add(embedding_base("embed-8-no-usage"), "leave.md", LEAVE)
    assert UsageRecord.objects.settled().get().input_tokens > 5


def test_a_failed_call_is_settled_too(embedding_base, add, monkeypatch):
    monkeypatch.setattr("agents.knowledge.indexing.MOST_TRIES", 1)
    add(embedding_base("error-400"), "leave.md", LEAVE)
    assert UsageRecord.objects.settled().get().status == Outcome.FAILED


def test_does_not_embed_the_same_text_again(embedding_base, add, model_endpoint, client, index_all):
    base = embedding_base()
    add(base, "leave.md", LEAVE)
    client.post("/knowledge-bases/handbook/reindex")
    index_all()
    add(base, "leave.md", LEAVE + "\n# New\n\nA further passage.\n")
    asked = [received.body["input"] for received in model_endpoint.requests]
    assert [len(texts) for texts in asked] == [2, 1]
    assert vectors_of(base) == 3


# --- search ---


def test_finds_by_meaning_beside_words(embedding_base, add, client):
    base = embedding_base()
    add(base, "leave.md", LEAVE)
    answer = client.get("/knowledge-bases/handbook/search", {"q": "thirty days of leave"}).json()
    assert answer["warning"] is None
    assert answer["items"][0]["place"]["heading"] == "Leave"
    # The other passage has none of the words, and is found all the same.
    assert len(answer["items"]) == 2


def test_goes_on_with_words_while_the_endpoint_is_away(embedding_base, add, client, model_endpoint):
    add(embedding_base(), "leave.md", LEAVE)
    model_endpoint.script("error-401")
    answer = client.get("/knowledge-bases/handbook/search", {"q": "thirty days"}).json()
    assert len(answer["items"]) == 1
    assert "only words count" in answer["warning"]


def test_compares_no_vectors_of_different_models(embedding_base, add, workspace, model_endpoint, index_all):
    base = embedding_base("embed-8")
    add(base, "leave.md", LEAVE)
    other = ChatModelFactory(
        workspace=workspace,
        provider="openai",
        purpose="embedding",
        model="embed-12",
        base_url=model_endpoint.base_url,
    )
    documents.save_base(base, {"embedding_model": other}, None)
    assert len(search(workspace.pk, [base.pk], "thirty", 5).passages) == 1
    index_all()
    assert len(search(workspace.pk, [base.pk], "thirty", 5).passages) == 2


def test_a_large_base_gets_an_index(transactional_db, embedding_base, monkeypatch):
    """Its statements work; how fast it is, is measured elsewhere."""
    base = embedding_base()
    monkeypatch.setattr(vectors, "INDEXED_FROM", 2)
    documents.add(base, "leave.md", ContentFile(LEAVE.encode()), None)
    from agents.knowledge import indexing

    async_to_sync(indexing.work)()
    space = embedder_of(base, Payer()).space
    assert vectors.ensure_index(base.pk, space)
    assert not vectors.ensure_index(base.pk, space)
    assert len(vectors.nearest(base.pk, space, [1.0] * 16, 5)) == 2
    documents.delete_base(base)


def test_says_where_the_server_has_no_pgvector(client, base, embedding_model, monkeypatch):
    embedding_model()
    real = vectors.connection.cursor().execute.__class__

    def refuse(field):
        from agentplatform.lib.errors import Invalid

        raise Invalid({field: "The database server has no extension `vector` (pgvector)."})

    monkeypatch.setattr(vectors, "require_extension", refuse)
    answer = client.patch("/knowledge-bases/handbook", {"embedding_model": "embedder"})
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "embedding_model")
    assert real


# --- models with a purpose ---


def test_a_test_of_an_embedding_model_says_its_dimensions(client, embedding_model):
    embedding_model("embed-24")
    answer = client.post("/models/embedder/test", {"message": "Hello there"}).json()
    assert answer["result"] == {
        "dimensions": 24,
        "usage": {"input_tokens": 2, "output_tokens": 0, "total_tokens": 2},
    }


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/agents", {"name": "a", "model": "embedder"}, "model"),
        ("/knowledge-bases", {"name": "b", "embedding_model": "talker"}, "embedding_model"),
        (
            "/models",
            {"name": "m", "provider": "openai", "model": "x", "fallbacks": ["embedder"]},
            "fallbacks",
        ),
        (
            "/models",
            {
                "name": "m",
                "provider": "openai",
                "purpose": "embedding",
                "model": "x",
                "fallbacks": ["talker"],
            },
            "fallbacks",
        ),
        ("/models", {"name": "m", "provider": "anthropic", "purpose": "embedding", "model": "x"}, "purpose"),
        ("/models", {"name": "m", "provider": "local", "model": "x"}, "purpose"),
        ("/models", {"name": "m", "provider": "local", "purpose": "embedding", "model": "x"}, "model"),
        (
            "/models",
            {
                "name": "m",
                "provider": "openai",
                "purpose": "embedding",
                "model": "x",
                "parameters": {"temperature": 1},
            },
            "parameters",
        ),
    ],
)
def test_keeps_purposes_apart(client, workspace, embedding_model, path, body, field):
    embedding_model()
    ChatModelFactory(workspace=workspace, name="talker")
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, field)


def test_a_model_keeps_its_purpose(client, workspace):
    ChatModelFactory(workspace=workspace, name="talker", provider="openai")
    answer = client.patch("/models/talker", {"purpose": "embedding", "parameters": {}})
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "purpose")


def test_a_model_that_embeds_a_base_cannot_be_deleted(client, embedding_base):
    embedding_base()
    answer = client.delete("/models/embedder")
    assert answer.json()["error"]["details"] == {"used_by": ["knowledge base handbook"]}


def test_an_agent_does_not_talk_with_it_by_a_fork_either(client, workspace, embedding_model):
    embedding_model()
    AgentFactory(workspace=workspace, name="helper")
    answer = client.patch("/agents/helper", {"model": "embedder"})
    assert answer.status_code == 422


# --- the extra ---


def test_says_how_the_extra_is_installed(client, monkeypatch):
    monkeypatch.setattr(local_embeddings, "missing", lambda: ["numpy"])
    body = {"name": "m", "provider": "local", "purpose": "embedding", "model": local_embeddings.MODEL}
    error = client.post("/models", body).json()["error"]
    assert "make install-embeddings" in error["message"]


@pytest.mark.skipif(
    bool(local_embeddings.missing()), reason="the extra for local embeddings is not installed"
)
def test_the_local_model_knows_what_means_the_same(workspace):
    model = ChatModel(workspace=workspace, name="local")
    spec = _spec(model)
    answer = async_to_sync(local_embeddings.embed)(
        spec, "", ["The worker was killed.", "A process has died.", "Bananas are yellow.", ""]
    )
    killed, died, bananas, _ = answer.vectors
    assert len(killed) == 384
    assert all(math.isclose(sum(x * x for x in vector), 1, abs_tol=1e-3) for vector in answer.vectors)
    assert dot(killed, died) > 0.3 > dot(killed, bananas)
    # As sentence-transformers, the reference, has them.
    assert dot(killed, died) == pytest.approx(SIMILARITY, abs=0.001)


SIMILARITY = 0.5097


def dot(one, other) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))


def _spec(model: ChatModel):
    import uuid

    from agents.specification import ModelSpecification

    return ModelSpecification(uuid.uuid4(), model.pk, "local", "local", local_embeddings.MODEL)


def test_a_fault_quotes_no_key(embedding_base, one_thread):
    from agents.editing import save

    base = embedding_base("error-401")
    save(base.embedding_model, None, {"api_key": "sk-own-key-1234"})
    base.refresh_from_db()
    embedder = embedder_of(base, Payer())
    with pytest.raises(ProviderFault) as caught:
        async_to_sync(embedded)(embedder, ["x"])
    assert "sk-own-key-1234" not in str(caught.value)
