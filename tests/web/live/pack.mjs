// Packs files of these names, each with its name as content, and writes the archive.
import { writeFileSync } from "node:fs";

const [, , live, to, ...names] = process.argv;
const { packed } = await import(`${live}/archive.js`);
writeFileSync(to, Buffer.from(await packed(names.map((name) => [name, new Blob([name])])).arrayBuffer()));
