import random
import statistics
import time
import uuid

import numpy as np
import pytest
from django.db import connection

from agents.knowledge import vectors
from agents.knowledge import search as S
from agents.knowledge.search import search
from agents.models import *

pytestmark = pytest.mark.django_db(transaction=True)
N = 100_000


def pct(x, p):
    return sorted(x)[int(len(x) * p) - 1]


def test_perf(workspace, base, settings, monkeypatch):
    rnd = random.Random(1)
    nprng = np.random.default_rng(1)
    vocab = [
        "".join(rnd.choice("bcdfgklmnprst") + rnd.choice("aeiou") for _ in range(rnd.randint(2, 4)))
        for _ in range(40000)
    ]
    common = [
        "the",
        "of",
        "and",
        "to",
        "in",
        "a",
        "is",
        "for",
        "on",
        "that",
        "with",
        "as",
        "it",
        "be",
        "by",
        "are",
        "or",
        "an",
        "from",
        "this",
        "at",
        "which",
        "have",
        "not",
        "was",
        "can",
        "will",
        "has",
    ]
    weights = [1 / (i + 3) for i in range(len(vocab))]
    import itertools

    cum = list(itertools.accumulate(weights))
    t = time.time()
    docs = [
        Document(
            knowledge_base=base,
            name=f"d{i}",
            media_type="text/plain",
            size=1,
            sha256="0" * 64,
            stored_as=f"x{i}",
            status="ready",
            attempt=1,
            live_attempt=1,
            chunk_count=1000,
        )
        for i in range(100)
    ]
    Document.objects.bulk_create(docs)
    other = KnowledgeBase.objects.create(workspace=workspace, name="other")
    centers = nprng.normal(size=(500, 384)).astype("f4")
    space = uuid.uuid4()
    for d in docs:
        rows = []
        for p in range(1000):
            ws = rnd.choices(vocab, cum_weights=cum, k=130)
            txt = " ".join(
                w if k % 2 else w + " " + common[(k * 7 + p) % len(common)] for k, w in enumerate(ws)
            )
            rows.append(
                Chunk(
                    document=d,
                    knowledge_base=base,
                    attempt=1,
                    position=p,
                    text=txt[:1000],
                    heading=" ".join(rnd.choices(vocab, cum_weights=cum, k=4)),
                    hash=uuid.uuid4(),
                )
            )
        Chunk.objects.bulk_create(rows)
    print("filled", time.time() - t, flush=True)
    with connection.cursor() as c:
        c.execute("VACUUM ANALYZE agents_chunk")
        c.execute("VACUUM ANALYZE agents_chunkvector")
        c.execute("ANALYZE agents_document")
        c.execute(
            "select pg_size_pretty(pg_total_relation_size('agents_chunk')), pg_size_pretty(pg_relation_size('agents_chunk')), pg_size_pretty(pg_relation_size('chunk_terms')), pg_size_pretty(pg_total_relation_size('agents_chunkvector'))"
        )
        print(c.fetchone(), flush=True)

    def q(kind):
        if kind == "rare":
            return " ".join(rnd.choices(vocab[2000:], k=5))
        if kind == "mixed":
            return "what is the " + " ".join(rnd.choices(vocab, cum_weights=cum, k=8))
        return " ".join(rnd.choices(vocab[:30], k=4))

    for kind in ("rare", "mixed", "common"):
        for most, ranked in ((0,1500),(0,1000)):
            S.RANKED = ranked
            rnd.seed(7)
            ts = []
            for _ in range(110):
                s = q(kind)
                t = time.perf_counter()
                search(workspace.pk, [base.pk], s, 10)
                ts.append((time.perf_counter() - t) * 1000)
            print(kind, most, ranked, "p50 %.1f p95 %.1f" % (pct(ts[10:], 0.5), pct(ts[10:], 0.95)), flush=True)
