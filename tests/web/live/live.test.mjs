// The parts of the opening that need no browser, in Node's own test runner.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const live = process.env.LIVE;
const { inkOf } = await import(`${live}/camera.js`);
const { Network, softmax } = await import(`${live}/network.js`);
const { Sheet, strokesOf } = await import(`${live}/pen.js`);
const network = new Network(JSON.parse(readFileSync(new URL(`${live}/digits.json`), "utf8")));

function written(digit) {
  const sheet = new Sheet(28, 28);
  for (const stroke of strokesOf(digit)) stroke.slice(1).forEach((point, n) => sheet.line(stroke[n], point));
  return sheet;
}

for (let digit = 0; digit < 10; digit++)
  test(`the ${digit} that the pen writes is read as ${digit}`, () => {
    const { probabilities } = network.answer(written(digit).values);
    assert.ok(probabilities[digit] > 0.9, `${probabilities}`);
  });

test("a line is ink in its middle, none a little beside it, and stays on the sheet", () => {
  const sheet = new Sheet(28, 28);
  assert.ok(sheet.isEmpty);
  sheet.line({ x: 4.5, y: 10.5 }, { x: 40, y: 10.5 });
  assert.equal(sheet.values[10 * 28 + 15], 1);
  assert.equal(sheet.values[14 * 28 + 15], 0);
  assert.equal(sheet.values[10 * 28 + 1], 0);
  assert.ok(sheet.values.every((value) => value >= 0 && value <= 1));
  sheet.clear();
  assert.ok(sheet.isEmpty);
});

test("probabilities sum to 1, however large the scores", () => {
  const shares = softmax(Float32Array.from([1000, 999, -1000]));
  assert.ok(Math.abs(shares.reduce((a, b) => a + b) - 1) < 1e-6);
  assert.ok(Math.abs(shares[0] / shares[1] - Math.E) < 1e-4);
});

test("what flows to the output adds up to its scores, without the bias", () => {
  const { stages, scores } = network.answer(written(8).values);
  const { flows } = stages[stages.length - 1];
  const bias = network.layers[network.layers.length - 1].bias;
  const inputs = flows.length / scores.length;
  scores.forEach((score, j) => {
    const sum = flows.slice(j * inputs, (j + 1) * inputs).reduce((a, b) => a + b, 0);
    assert.ok(Math.abs(score - bias[j] - sum) < 1e-3);
  });
});

test("a network whose output is not its last layer is refused", () => {
  assert.throws(() => new Network({ shape: [28, 28], classes: [], layers: [{ type: "MaxPooling2D", pool_size: [2, 2] }] }), /comes last/);
});

/** Pixels of a camera: a written digit, with the levels of paper and of ink, and a shadow from left to right. */
function photographed(digit, paper, ink, shadow = 0) {
  const { values } = written(digit);
  return Uint8ClampedArray.from({ length: 4 * values.length }, (_, n) => {
    const i = n >> 2;
    return n % 4 === 3 ? 255 : paper + values[i] * (ink - paper) - shadow * ((i % 28) / 28);
  });
}

for (const [paper, ink, shadow] of [[230, 30, 0], [180, 60, 20], [20, 240, 0]])
  test(`ink of level ${ink} on paper of level ${paper} is read, with a shadow of ${shadow}`, () => {
    for (let digit = 0; digit < 10; digit++) {
      const { probabilities } = network.answer(inkOf(photographed(digit, paper, ink, shadow)));
      assert.equal(probabilities.indexOf(Math.max(...probabilities)), digit);
    }
  });

test("a wall is a blank sheet", () => {
  assert.ok(inkOf(photographed(0, 120, 90)).every((value) => value === 0));
});

const { STEPS, Story, spoken } = await import(`${live}/story.js`);
const { response, unpacked } = await import(`${live}/filters.js`);
const at = (n, values) => ({ at: n, ...values });
const progress = (n, epoch, images, loss = 1) =>
  at(n, { progress: { epoch, images, total: 100, loss, accuracy: 0.5, images_per_second: 50 } });
const validated = (n, epoch) => at(n, { epoch: { epoch, loss: 1, accuracy: 0.5, val_loss: 1, val_accuracy: 0.5 } });

test("a story is at the first step that is not done, and says when training and evaluating begin", () => {
  const story = new Story();
  const steps = [];
  for (const line of [
    at(0, { started: true }), at(1, { doing: "reading" }), at(2, { step: "Load" }), at(2, { step: "Reshape" }), at(3, { step: "Audit" }),
    at(3, { step: "Split" }), at(3, { step: "Model" }), at(4, { step: "Compile" }), at(5, { step: "Train" }), at(6, { epochs: 2 }),
    progress(7, 1, 100), validated(8, 1), progress(9, 2, 100), validated(10, 2), at(11, { step: "Evaluate" }),
  ]) {
    story.hear(line);
    if (steps[steps.length - 1] !== story.current) steps.push(story.current);
  }
  assert.deepEqual(steps, [...STEPS, ""]);
});

test("the time left is the rest at the speed since the first line, without what came before it", () => {
  for (const from of [0, 2]) {
    const story = new Story();
    story.hear(at(40, { epochs: 4 + from }));
    assert.equal(story.left, null);
    story.hear(progress(100, 1 + from, 50));
    assert.equal(story.left, null, "too early to tell");
    story.hear(progress(100.5, 1 + from, 60));
    assert.equal(story.left, null, "too early to tell");
    story.hear(progress(110, 1 + from, 100));
    assert.equal(story.left, 60);
  }
});

test("times are said as people say them", () => {
  assert.deepEqual([0.2, 44.6, 200, 9000].map(spoken), ["1 s", "45 s", "3 min", "2.5 h"]);
});

const { folderOf, missing } = await import(`${live}/collecting.js`);
const some = (values) => ({ name: "cat", size: 30, recordings: 3, loose: 0, ...values });

test("classes can be sent once each has a name, pictures, and recordings for every part", () => {
  const dog = some({ name: "dog" });
  assert.equal(missing([some({}), dog]), "");
  assert.equal(missing([some({}), dog, some({ name: "", size: 0 })]), "");
  assert.equal(missing([some({ recordings: 0, loose: 3 }), dog]), "");
  assert.equal(missing([some({ recordings: 2, loose: 1 }), dog]), "");
  assert.match(missing([some({})]), /at least two classes/);
  assert.match(missing([some({ size: 0 }), dog]), /at least two classes/);
  for (const name of ["  ", "...", " . "]) assert.match(missing([some({ name }), dog]), /needs a name/);
  assert.match(missing([some({}), some({ name: "Cat " })]), /Two classes are called cat/);
  assert.match(missing([some({ recordings: 2 }), dog]), /^cat: 2 of 3 recordings\. .* Move/);
  assert.match(missing([some({ size: 2, recordings: 0, loose: 2 }), dog]), /^cat: 2 of 3 pictures\. .* test on\.$/);
  assert.match(missing([some({ name: "猫".repeat(60) }), dog]), /too long/);
});

test("a name becomes that of a folder", () => {
  assert.deepEqual(["a/b", " ..x ", ". x", "قط"].map(folderOf), ["a-b", "x", "x", "قط"]);
});

test("kernels come as they were packed", () => {
  const values = Buffer.from(Int8Array.from([127, -127, 0, 64]).buffer).toString("base64");
  const kernels = unpacked({ shape: [1, 1, 1, 4], most: 0.5, values });
  assert.deepEqual(kernels.shape, [1, 1, 1, 4]);
  [0.5, -0.5, 0, (64 * 0.5) / 127].forEach((value, n) => assert.ok(Math.abs(kernels.values[n] - value) < 1e-6));
});

for (const [rows, columns, channels] of [[3, 3, 1], [3, 3, 3], [5, 2, 1], [2, 2, 3], [1, 7, 1]])
  test(`what a ${rows}x${columns} filter of ${channels} makes of a picture is its sum at every place`, () => {
    const [height, width, filters] = [6, 9, 4];
    const random = (n) => Float32Array.from({ length: n }, (_, i) => Math.sin(12.9898 * (i + 1)) * 0.7);
    const kernels = { shape: [rows, columns, channels, filters], values: random(rows * columns * channels * filters) };
    const picture = { height, width, channels, values: random(height * width * channels) };
    for (let f = 0; f < filters; f++) {
      const map = response(picture, kernels, f);
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          let sum = 0;
          for (let r = 0; r < rows; r++)
            for (let c = 0; c < columns; c++) {
              const [py, px] = [y + r - Math.floor((rows - 1) / 2), x + c - Math.floor((columns - 1) / 2)];
              if (py < 0 || py >= height || px < 0 || px >= width) continue;
              for (let k = 0; k < channels; k++)
                sum += kernels.values[((r * columns + c) * channels + k) * filters + f] * picture.values[(py * width + px) * channels + k];
            }
          assert.ok(Math.abs(map[y * width + x] - sum) < 1e-5);
        }
    }
  });

test("a story keeps its moments, in order, and after how many epochs each was", () => {
  const story = new Story();
  const packed = (value) => ({ shape: [1, 1, 1, 1], most: value, values: Buffer.from([127]).toString("base64") });
  story.hear({ at: 1, epochs: 2 });
  story.hear({ at: 2, kernels: packed(0.25), x: 0.5 });
  story.hear({ at: 3, kernels: packed(0.75), x: 1.5 });
  assert.deepEqual(story.moments.map(({ x, kernels }) => [x, kernels.values[0]]), [[0.5, 0.25], [1.5, 0.75]]);
});

test("a line that is no JSON is passed over, and so are kernels of an older version", () => {
  const story = new Story();
  story.read('{"at": 1, "epochs": 3}\n{"at": 2, "kernels": {"shape": [1], "most": NaN}}\n{"at": 3, "kernels": {"shape": [1], "values": ""}}\n{"at": 4, "step": "Load"}\n');
  assert.equal(story.last, 4);
  assert.equal(story.epochs, 3);
  assert.deepEqual(story.moments, []);
  assert.ok(story.done.has("Load"));
});

const { bytesOf, following } = await import(`${live}/diagram.js`);

test("a window slides row by row and ends at the last value", () => {
  const map = { height: 2, width: 3 };
  const path = [];
  for (let spot = { stage: 1, map: 4, x: 1, y: 0 }; spot; spot = following(spot, map)) path.push([spot.x, spot.y]);
  assert.deepEqual(path, [[1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]);
  assert.deepEqual(following({ stage: 1, map: 4, x: 2, y: 0 }, map), { stage: 1, map: 4, x: 0, y: 1 });
});

test("maps are signed bytes", () => {
  assert.deepEqual([...bytesOf(Buffer.from([0, 1, 127, 129, 255]).toString("base64"))], [0, 1, 127, -127, -1]);
});

test("the layout of a network has the shapes and windows of its layers", () => {
  const { columns, answers } = network.layout;
  const { stages } = network.answer(written(4).values);
  columns.forEach(({ height, width, count }, k) => assert.deepEqual([height, width, count], [stages[k].maps.height, stages[k].maps.width, stages[k].maps.count]));
  assert.deepEqual(columns.map(({ reach }) => reach.same_map), [false, true, false, true]);
  assert.equal(answers.length, 10);
});
