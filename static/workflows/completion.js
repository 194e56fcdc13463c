// What may stand where the cursor is: pure functions of the text before it, the schema, the workspace's names and the outline.

const KEY = /^\s*(?:-\s+)*([\w$]*)$/;
const VALUE = /(?:^|[\s{,])(\w+):\s+["']?([\w.-]*)$/;
const FLOW_KEY = /[{,]\s*(\w*)$/;
const expressions = new Set(["when", "while", "over"]);

export class Vocabulary {
  /** `schema` is the published one; `names` are those of the workspace, by kind. */
  constructor({ schema, names }) {
    this.names = names;
    this.frame = schema.properties;
    this.byKind = new Map(
      schema.properties.nodes.items.allOf.map((rule) => [rule.if.properties.kind.const, rule.then]),
    );
  }

  /** `{from, options: [{label, type, detail, info}]}` or null; `lines` end with the cursor's, cut there; `below` begins with the rest. */
  complete(lines, below, outline) {
    this.outline = outline;
    const line = lines.at(-1);
    const found = this.#expression(lines, line) ?? this.#value(lines, line, below) ?? this.#key(lines, line, below);
    return found?.options.length ? found : null;
  }

  // --- expressions ---

  #expression(lines, line) {
    if (!isInExpression(lines, line)) return null;
    const member = line.match(/\b(input|state|loops|error)\.(\w*)$/);
    if (member) {
      const { outline } = this;
      const loops = outline.nodes.filter(({ kind }) => kind === "loop").map(({ id }) => id);
      const members = { input: outline.input, state: outline.state, loops, error: ["node", "message"] };
      return offered(member[2], members[member[1]], "property");
    }
    return offered(line.match(/\w*$/)[0], ["input", "state", "loops", "error"], "variable");
  }

  // --- values ---

  #value(lines, line, below) {
    const match = line.match(VALUE);
    if (!match) return null;
    const [, key, typed] = match;
    const section = sectionOf(lines);
    const options = section === "nodes" ? this.#nodeValue(key, block(lines, below)) : this.#otherValue(section, key, block(lines, below));
    return options ? offered(typed, options, "constant") : null;
  }

  #nodeValue(key, text) {
    const kind = kindIn(text);
    if (key === "kind") return [...this.byKind.keys()];
    if (key in this.names) return this.names[key];
    if (key === "join") return this.outline.nodes.filter((node) => node.kind === "join").map(({ id }) => id);
    if (key === "item" || (key === "output" && kind !== "end")) return this.outline.state;
    return choices(this.byKind.get(kind)?.properties[key]);
  }

  #otherValue(section, key, text) {
    if (section === "edges") {
      if (key === "case") return this.#casesOf(text.match(/\bfrom:\s*["']?(\w+)/)?.[1]);
      return key === "from" || key === "to" ? this.outline.nodes.map(({ id }) => id) : null;
    }
    return choices(this.frame.state.additionalProperties.properties[key]);
  }

  #casesOf(id) {
    return this.outline.nodes.find((node) => node.id === id)?.cases ?? ["error"];
  }

  // --- keys ---

  #key(lines, line, below) {
    const match = line.match(KEY) ?? line.match(FLOW_KEY);
    if (!match) return null;
    const typed = match[1];
    if (/^\w*$/.test(line)) return this.#properties(typed, this.frame, lines.join("\n"));
    const section = sectionOf(lines);
    const text = block(lines, below);
    if (section === "nodes") {
      const known = this.byKind.get(kindIn(text))?.properties ?? { id: {}, kind: {}, label: {}, description: {} };
      return depthIn(lines) > 1 ? null : this.#properties(typed, known, text);
    }
    if (section === "edges") return this.#properties(typed, this.frame.edges.items.properties, text);
    return null;
  }

  /** Those that are not there yet. */
  #properties(typed, properties, text) {
    const options = Object.entries(properties)
      .filter(([name]) => !new RegExp(`(^|[\\s{,-])${name}:`, "m").test(text))
      .map(([name, { description }]) => ({ label: name, type: "property", info: description, apply: `${name}: ` }));
    return { from: typed.length, options };
  }
}

function offered(typed, labels, type) {
  return { from: typed.length, options: (labels ?? []).map((label) => ({ label: String(label), type })) };
}

function choices(schema) {
  if (schema?.type === "boolean") return ["true", "false"];
  return schema?.enum ?? null;
}

function isInExpression(lines, line) {
  const opened = line.lastIndexOf("{{");
  if (opened >= 0 && line.indexOf("}}", opened) < 0) return true;
  const key = line.match(/(?:^|[\s{,-])(\w+):\s+\S*.*$/)?.[1];
  return expressions.has(key) || (key !== undefined && isInSet(lines));
}

/** Whether the last line stands below a transform's `set:`. */
function isInSet(lines) {
  const depth = indent(lines.at(-1));
  const above = lines.slice(0, -1).findLast((line) => line.trim() && indent(line) < depth);
  return /^\s*(-\s+)?set:\s*$/.test(above ?? "");
}

/** The top-level field that the last line stands in. */
function sectionOf(lines) {
  return lines.findLast((line) => /^[A-Za-z]\w*:/.test(line))?.match(/^\w+/)[0] ?? "";
}

const startsItem = (line) => /^\s*-\s/.test(line);

/** The text of the node or edge around the cursor. */
function block(lines, below) {
  const first = itemStart(lines);
  if (first < 0) return "";
  const depth = indent(lines[first]);
  const end = below.findIndex((line) => line.trim() && indent(line) <= depth);
  return [...lines.slice(first), ...(end < 0 ? below : below.slice(0, end))].join("\n");
}

/** Where the list item of the section begins: the nearest dash as far left as any in it. */
function itemStart(lines) {
  const top = lines.findLastIndex((line) => /^[A-Za-z]\w*:/.test(line));
  const depths = lines.slice(top + 1).filter(startsItem).map(indent);
  const least = Math.min(...depths);
  return lines.findLastIndex((line, index) => index > top && startsItem(line) && indent(line) === least);
}

/** 1 where the last line's keys are the node's own, more inside of one of its fields. */
function depthIn(lines) {
  const first = itemStart(lines);
  const line = lines.at(-1);
  if (first < 0 || first === lines.length - 1) return 1;
  const own = lines[first].match(/^\s*-\s+/)[0].length;
  return indent(line) > own ? 2 : 1;
}

function kindIn(text) {
  return text.match(/\bkind:\s*["']?(\w+)/)?.[1] ?? "";
}

function indent(line) {
  return line.match(/^\s*/)[0].length;
}
