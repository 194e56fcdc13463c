#!/usr/bin/env bash
# The tour of README.md: from signing in to the CSV of what it cost. Needs curl and Python.
#
#   OUTBOUND_ALLOWED_HOSTS=127.0.0.1 make run        in one terminal
#   docs/tour.sh                                     in another, once per database
#
# BASE is where the platform runs, CREDENTIALS the file of its demo users, PYTHON an interpreter for the stand-ins.
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=${BASE:-http://127.0.0.1:8000}
CREDENTIALS=${CREDENTIALS:-var/demo-credentials.json}
PYTHON=${PYTHON:-.venv/bin/python}
API=$BASE/api/v1

scratch=$(mktemp -d)
mkdir "$scratch/orders"
echo '{"number": "1204", "state": "shipped", "arrives": "2026-11-24"}' >"$scratch/orders/1204.json"

say() { printf '\n# %s\n' "$1"; }
call() { curl --silent --show-error --fail-with-body -H "Authorization: Bearer ${TOKEN:-}" "$@"; }
post() { local to=$1 body=$2; shift 2; call -X POST "$API/$to" -H 'Content-Type: application/json' -d "$body" "$@"; }
change() { call -X PATCH "$API/$1" -H 'Content-Type: application/json' -d "$2"; }
show() { "$@" && echo; }
field() { "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

first() { "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]][0]["id"])' "$1"; }

# Two stand-ins: a model endpoint that speaks OpenAI's protocol, and a service with orders for the tool to ask.
"$PYTHON" -u -m tests.model_endpoint --delay-ms 20 >"$scratch/model" &
model=$!
"$PYTHON" -u -m http.server 0 --bind 127.0.0.1 --directory "$scratch" >"$scratch/service" 2>/dev/null &
service=$!
trap 'kill "$model" "$service"; rm -r "$scratch"' EXIT
until [ -s "$scratch/model" ] && [ -s "$scratch/service" ]; do sleep 0.1; done
MODEL_URL=$(head -n 1 "$scratch/model")
ORDERS_URL=http://127.0.0.1:$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$scratch/service")/orders

say 'Sign in'
PASSWORD=$("$PYTHON" -c 'import json, sys; print(next(entry["password"] for entry in json.load(open(sys.argv[1]))
    if entry["role"] == "admin"))' "$CREDENTIALS")
TOKEN=$(post auth/login "{\"username\": \"admin\", \"password\": \"$PASSWORD\"}" | field access)
show call "$API/auth/me"

say 'A model at an OpenAI-compatible endpoint, and what it costs'
show post models "{\"name\": \"local\", \"provider\": \"openai\", \"model\": \"local-llm\",
    \"base_url\": \"$MODEL_URL\", \"api_key\": \"sk-example-0123456789\"}"
show post billing/prices '{"provider": "openai", "model": "local-llm", "input_per_million": "0.15", "output_per_million": "0.60"}'
show post models/local/test '{}'

say 'A tool that asks another service'
show post tools "{\"name\": \"get_order\", \"kind\": \"http\", \"description\": \"Looks up an order by its number.\",
    \"request\": {\"method\": \"GET\", \"url\": \"$ORDERS_URL/{number}.json\"},
    \"arguments_schema\": {\"type\": \"object\", \"properties\": {\"number\": {\"type\": \"string\"}}, \"required\": [\"number\"]}}"
show post tools/get_order/test '{"arguments": {"number": "1204"}}'

say 'An agent with both'
show post agents '{"name": "shop-assistant", "model": "local", "tools": ["get_order"],
    "system_prompt": "You help customers of a shop. Look an order up before you speak about it."}'

say 'A run. The stand-in calls a tool where a line of the message says so; a real model decides by itself'
RUN=$(post runs '{"agent_id": "shop-assistant", "user_id": "customer-81",
    "message": "Where is my order?\ncall get_order {\"number\": \"1204\"}"}' | field id)
call --no-buffer "$API/runs/$RUN/stream"

say 'The same events, at any time later, as JSON'
show call "$API/runs/$RUN/events?limit=3"

say 'The run'
show call "$API/runs/$RUN"

say 'The tool waits for a person from now on, and so does a run that calls it'
change tools/get_order '{"requires_approval": true}' >/dev/null
WAITING=$(post runs '{"agent_id": "shop-assistant", "message": "And now?\ncall get_order {\"number\": \"1204\"}"}' | field id)
until [ "$(call "$API/runs/$WAITING" | field status)" = waiting ]; do sleep 0.1; done
show call "$API/approvals?status=pending"
APPROVAL=$(call "$API/runs/$WAITING/approvals" | first items)
show post "approvals/$APPROVAL/approve" '{}'
show call "$API/runs/$WAITING/wait" -o /dev/null -w '%{http_code}'

say 'Back in time: the same conversation, with another question'
CHECKPOINT=$(call "$API/runs/$RUN/checkpoints?limit=1" | first checkpoints)
FORK=$(post "checkpoints/$CHECKPOINT/fork" '{"description": "another question", "modifications": {"modified_query": "Thank you."}}' | field new_run_id)
call "$API/runs/$FORK/wait" >/dev/null
show call "$API/runs/$RUN/lineage"

say 'A workflow: a question goes to two places at once, and a condition decides what becomes of it'
cat >"$scratch/triage.yaml" <<'YAML'
# Orders are looked up while the mood of the message is judged.
name: triage
state:
  order: {type: object}
  mood: {type: string}
nodes:
  - {id: start, kind: start}
  - {id: both, kind: parallel, join: known}
  - {id: look, kind: tool, tool: get_order, arguments: {number: "1204"}, output: order}
  - {id: feel, kind: llm, model: local, prompt: "One word for the mood of: {{ input.message }}", output: mood}
  - {id: known, kind: join}
  - {id: route, kind: condition, cases: [{case: shipped, when: "state.order.state == 'shipped'"}]}
  - {id: told, kind: end, output: {answer: "It arrives on {{ state.order.arrives }}.", mood: "{{ state.mood }}"}}
  - {id: wait, kind: end, output: {answer: We look into it.}}
edges:
  - {from: start, to: both}
  - {from: both, to: look}
  - {from: both, to: feel}
  - {from: look, to: known}
  - {from: feel, to: known}
  - {from: known, to: route}
  - {from: route, to: told, case: shipped}
  - {from: route, to: wait, case: default}
YAML
change tools/get_order '{"requires_approval": false}' >/dev/null
call -X POST "$API/workflows/load" -H 'Content-Type: application/yaml' --data-binary @"$scratch/triage.yaml" >/dev/null
show post workflows/triage/validate '{}'
show post workflows/triage/publish '{}' -o /dev/null -w '%{http_code}'
FLOW=$(post workflows/triage/run '{"input": {"message": "Where is my parcel?"}}' | field id)
call "$API/runs/$FLOW/wait" | field output
call "$API/workflows/triage/visualization?format=mermaid&run_id=$FLOW"

say 'What is wrong with one is told by node, field and line'
sed 's/state.order.state ==/state.order.state.size() + /; s/output: mood/output: moood/' "$scratch/triage.yaml" >"$scratch/wrong.yaml"
"$PYTHON" -c 'import json, sys; print(json.dumps({"source": open(sys.argv[1]).read()}))' "$scratch/wrong.yaml" >"$scratch/wrong.json"
show call -X POST "$API/workflows/validate" -H 'Content-Type: application/json' --data-binary @"$scratch/wrong.json"

say 'The same agent for clients of OpenAI, and for those of the Model Context Protocol'
show call "$BASE/v1/chat/completions" -H 'Content-Type: application/json' \
    -d '{"model": "trade-assistant", "messages": [{"role": "user", "content": "Who supplies solar panels from Germany?"}]}'
show call "$BASE/mcp" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -d '{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}' -o "$scratch/tools"
head -c 300 "$scratch/tools"; echo

say 'What was used, and what it cost'
show call "$API/billing/usage"

say 'The same for the auditor'
call "$API/billing/usage/export?format=csv"
