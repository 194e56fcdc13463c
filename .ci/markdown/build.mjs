// Writes both libraries as one module each, their licences and SHA-256, next to the other static files.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

for (const name of ["marked", "dompurify"]) {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json")));
  const target = join(here, "../../static/vendor", `${name}-${version}`);
  mkdirSync(target, { recursive: true });
  await build({
    absWorkingDir: here,
    stdin: {
      contents: name === "marked" ? 'export { Marked } from "marked";' : 'export { default } from "dompurify";',
      resolveDir: here,
    },
    outfile: join(target, `${name}.js`),
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    legalComments: "none",
  });
  const texts = readdirSync(folder).filter((one) => /^licen[sc]e/i.test(one)).sort();
  const licences = texts.map((one) => readFileSync(join(folder, one), "utf8").trim());
  writeFileSync(join(target, "LICENSES.txt"), `${name} ${version} (${license})\n\n${licences.join(`\n\n${"-".repeat(80)}\n\n`)}\n`);
  const digest = createHash("sha256").update(readFileSync(join(target, `${name}.js`))).digest("hex");
  writeFileSync(join(target, `${name}.js.sha256`), `${digest}  ${name}.js\n`);
}
