// Writes TypeScript types of docs/schema.graphql to the file named (`make graphql-types`).
import { readFileSync, writeFileSync } from "node:fs";
import { codegen } from "@graphql-codegen/core";
import * as typescript from "@graphql-codegen/typescript";
import { parse } from "graphql";

const [schema, target] = process.argv.slice(2);
const scalars = { BigInt: "number", DateTime: "string", JSON: "unknown" };
const output = await codegen({
  filename: target,
  schema: parse(readFileSync(schema, "utf8")),
  documents: [],
  config: {},
  plugins: [{ typescript: { scalars, enumsAsTypes: true, strictScalars: true, useTypeImports: true } }],
  pluginMap: { typescript },
});
writeFileSync(target, `// Written by \`make graphql-types\` from docs/schema.graphql.\n${output.trimStart()}`);
