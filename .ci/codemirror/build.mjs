// Writes the bundle, the licences of all that is in it, and the bundle's SHA-256, next to the other static files.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const { version } = JSON.parse(readFileSync(join(here, "node_modules/codemirror/package.json")));
const target = join(here, "../../static/vendor", `codemirror-${version}`);
mkdirSync(target, { recursive: true });

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["entry.mjs"],
  outfile: join(target, "codemirror.js"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  metafile: true,
});

const names = new Set(
  Object.keys(metafile.inputs)
    .filter((path) => path.startsWith("node_modules/"))
    .map((path) => path.split("/").slice(1, path.startsWith("node_modules/@") ? 3 : 2).join("/")),
);
const licences = [...names].sort().map((name) => {
  const folder = join(here, "node_modules", name);
  const { version: of, license } = JSON.parse(readFileSync(join(folder, "package.json")));
  const file = readdirSync(folder).find((one) => /^licen[sc]e/i.test(one));
  return `${name} ${of} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
writeFileSync(join(target, "LICENSES.txt"), licences.join(`\n${"-".repeat(80)}\n\n`));

const digest = createHash("sha256").update(readFileSync(join(target, "codemirror.js"))).digest("hex");
writeFileSync(join(target, "codemirror.js.sha256"), `${digest}  codemirror.js\n`);
