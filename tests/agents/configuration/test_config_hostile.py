"""Texts that are meant to do harm, or are no configuration at all: refused at once, with the place."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from agents.models import Version

pytestmark = pytest.mark.django_db

BOMB = "a: &a [x, x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghi")
)
HOSTILE = {
    "an object of Python": "models: !!python/object/apply:os.system ['true']\n",
    "a tag": "models: !anything {}\n",
    "aliases that grow": BOMB,
    "a merge": "models:\n  a: &x {provider: demo}\n  b:\n    <<: *x\n",
    "levels without end": "models: " + "[" * 5000,
    "levels without end in JSON": '{"models": ' + "[" * 5000,
    "two of the same name": "models:\n  a: {provider: demo, model: x}\n  a: {provider: demo, model: y}\n",
    "several documents": "models: {}\n---\nmodels: {}\n",
    "a list": "- models\n",
    "a text": "models",
    "nothing": " ",
    "a NUL": 'models:\n  a: {provider: demo, model: "\\0"}\n',
    "a surrogate": 'models:\n  a: {provider: demo, model: "\\ud800"}\n',
    "not a number": "models:\n  a: {provider: demo, model: x, parameters: {temperature: .nan}}\n",
    "an endless number": "models:\n  a: {provider: demo, model: x, parameters: {temperature: .inf}}\n",
    "a large number": f"models:\n  a: {{provider: demo, model: x, parameters: {{temperature: {10**30}}}}}\n",
    "a number of a million digits": f"models: {'9' * 1_000_000}\n",
    "a key that is none": "models:\n  ? [a]\n  : {provider: demo}\n",
    "a name that is an id": "models:\n  01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e: {provider: demo, model: x}\n",
    "a name with a slash": "models:\n  a/b: {provider: demo, model: x}\n",
    "an empty name": "models:\n  '': {provider: demo, model: x}\n",
    "fields that are none": "models:\n  a: [provider, model]\n",
    "a field of the server": "models:\n  a: {provider: demo, model: x, id: 7}\n",
    "a secret that is an object": "models:\n  a: {provider: demo, model: x, api_key: {secret: 7}}\n",
    "another workspace's secret": "models:\n  a: {provider: demo, model: x, api_key: '${secret:model/b/api_key}'}\n",
    "a variable of the environment": "models:\n  a: {provider: demo, model: x, api_key: '${secret:SECRET_KEY}'}\n",
    "an address of the network": "models:\n  a: {provider: openai, model: x, base_url: 'http://169.254.169.254/'}\n",
    "too many components": "models:\n"
    + "".join(f"  m{n}: {{provider: demo, model: x}}\n" for n in range(5001)),
    "a default that is no name": "default_agent: {a: b}\n",
    "a default that there is not": "default_agent: gone\nagents: {}\n",
}


@pytest.fixture
def client(api, alice):
    return api(alice)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_is_refused(client, text):
    answer = client.post("/config/import", {"configuration": text})
    assert (answer.status_code, bool(answer.json()["error"]["details"]), Version.objects.count()) == (
        422,
        True,
        0,
    )


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_is_refused_at_once(client, text):
    begin = time.perf_counter()
    client.post("/config/import", text, content_type="application/yaml")
    assert time.perf_counter() - begin < 5


def test_is_refused_where_it_is_no_text(client):
    answer = client.post("/config/import", b"\xff\xfe", content_type="application/yaml")
    assert answer.status_code == 422


def test_quotes_no_secret_that_was_sent(client):
    body = {"configuration": "agents:\n  a: {model: gone}\n", "secrets": {"x": "sk-very-secret"}}
    assert b"sk-very-secret" not in client.post("/config/import", body).content


def test_does_not_repeat_a_secret_that_stands_in_the_text(client):
    text = "models:\n  a: {provider: demo, model: x, api_key: 'sk-very\\nsecret', modle: 1}\n"
    assert b"sk-very" not in client.post("/config/import", {"configuration": text}).content
