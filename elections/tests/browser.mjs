// Drives a real Chromium over the pages: reads steps as JSON from the first argument, prints what it saw as JSON.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import readline from "node:readline";
import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";

const require = createRequire(import.meta.url);
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const { pages } = JSON.parse(process.argv[2]);

// The package's arguments are for a function in a cloud: one process dies with its first context, and the web's
// security stays on here.
const unwanted = new Set(["--single-process", "--no-zygote", "--disable-web-security", "--allow-running-insecure-content"]);
const args = chromium.args.filter((argument) => !unwanted.has(argument));
const browser = await playwright.launch({ executablePath: await chromium.executablePath(), args, headless: true });
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

async function run(page, step) {
  if (step.do === "axe") {
    await page.evaluate(axeSource);
    const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    return result.violations.map(({ id, nodes }) => ({ id, nodes: nodes.map((node) => node.html.slice(0, 200) + " :: " + node.failureSummary) }));
  }
  if (step.do === "text") return (await page.locator(step.selector).allInnerTexts()).map((text) => text.trim());
  if (step.do === "attribute") return page.locator(step.selector).first().getAttribute(step.name);
  if (step.do === "screenshot") return page.screenshot({ path: step.path, fullPage: step.full ?? false }).then(() => step.path);
  if (step.do === "wait") {
    await page.waitForFunction(({ selector, text, attribute, value }) => {
      const element = document.querySelector(selector);
      if (!element) return false;
      return attribute ? element.getAttribute(attribute) === value : element.textContent.trim() === text;
    }, step, { timeout: 60_000 });
    return true;
  }
  if (step.do === "tab") {
    const seen = [];
    for (let index = 0; index < step.times; index += 1) {
      await page.keyboard.press("Tab");
      seen.push(await page.evaluate(() => {
        const { activeElement: element } = document;
        const outlined = element.closest(".card") ?? element;
        const style = [getComputedStyle(element), getComputedStyle(outlined)].find(({ outlineStyle }) => outlineStyle !== "none");
        return { text: element.textContent.trim().slice(0, 60), isOutlined: Boolean(style) };
      }));
    }
    return seen;
  }
  if (step.do === "overflow") return page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  if (step.do === "mark") return page.evaluate(() => { window.unreloaded = true; });
  if (step.do === "isUnreloaded") return page.evaluate(() => window.unreloaded === true);
  if (step.do === "press") return page.keyboard.press(step.key);
  if (step.do === "url") return page.url();
  if (step.do === "outside") {
    // The test acts now, and answers with a line when it has.
    say({ waiting: step.name });
    await lines.next();
    return null;
  }
  throw new Error(`unknown step ${step.do}`);
}

try {
  const results = [];
  for (const wanted of pages) {
    const context = await browser.newContext({
      viewport: { width: wanted.width ?? 1280, height: wanted.height ?? 900 },
      colorScheme: wanted.dark ? "dark" : "light",
      javaScriptEnabled: wanted.javascript ?? true,
      deviceScaleFactor: wanted.scale ?? 1,
      bypassCSP: false,
    });
    const page = await context.newPage();
    const errors = [];
    page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
    page.on("pageerror", (error) => errors.push(String(error)));
    const outside = [];
    page.on("request", (request) => { if (!request.url().startsWith(new URL(wanted.url).origin) && !request.url().startsWith("data:")) outside.push(request.url()); });
    const response = await page.goto(wanted.url, { waitUntil: "load" });
    const seen = [];
    for (const step of wanted.steps ?? []) seen.push(await run(page, step));
    results.push({ status: response.status(), seen, errors, outside });
    await context.close();
  }
  say({ results });
} finally {
  await browser.close();
}
process.exit(0);
