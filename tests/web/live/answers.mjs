// Reads pictures (bytes of 28 x 28, 0 to 255) from a file, and prints what the network of the opening makes of them.
import { readFileSync } from "node:fs";

const [, , live, pictures, what] = process.argv;
const { Network } = await import(`${live}/network.js`);
const network = new Network(JSON.parse(readFileSync(new URL(`${live}/digits.json`), "utf8")));
const bytes = readFileSync(pictures);
const size = network.shape[0] * network.shape[1];
const answers = [];
for (let n = 0; n < bytes.length / size; n++) {
  const picture = Float32Array.from(bytes.subarray(n * size, (n + 1) * size), (level) => level / 255);
  const answer = network.answer(picture);
  if (what === "classes") answers.push(answer.probabilities.indexOf(Math.max(...answer.probabilities)));
  else
    answers.push({
      probabilities: [...answer.probabilities],
      stages: answer.stages.map((one) => ({ values: [...one.maps.values], flows: [...one.flows], sizes: [...one.sizes] })),
    });
}
console.log(JSON.stringify(answers));
