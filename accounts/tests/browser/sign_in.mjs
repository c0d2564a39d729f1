// Signs in at the eID provider's page in Chromium and walks through the admin. Prints what it saw as JSON.
// Usage: node sign_in.mjs BASE_URL PERSON PASSWORD SCREENSHOT_FOLDER PATHS…
import chromium from '@sparticuz/chromium';
import { chromium as playwright } from 'playwright-core';

const [base, person, password, folder, ...paths] = process.argv.slice(2);
const seen = { complaints: [], pages: {} };
const browser = await playwright.launch({
  executablePath: await chromium.executablePath(),
  args: chromium.args,
  headless: true,
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(60_000);
  page.on('pageerror', (error) => seen.complaints.push(`${page.url()}: ${error.message}`));
  page.on('console', (message) => {
    // The test's server speaks no WebSocket, so the live height stays as the page had it.
    if (message.type() === 'error' && !message.text().includes('WebSocket')) {
      seen.complaints.push(`${page.url()}: ${message.text()}`);
    }
  });

  await page.goto(`${base}/admin/`);
  seen.loginUrl = page.url();
  await page.screenshot({ path: `${folder}/1-login.png` });
  await page.click('.sign-in-with-eid');
  await page.waitForSelector('select[name=person]');
  seen.providerUrl = page.url();
  await page.screenshot({ path: `${folder}/2-provider.png` });
  await page.selectOption('select[name=person]', person);
  await page.fill('input[name=password]', password);
  await page.click('button[type=submit]');
  await page.waitForURL(`${base}/admin/`);
  await page.waitForSelector('#figure-elections');
  // A drawn chart has pixels.
  await page.waitForFunction(() =>
    [...document.querySelectorAll('canvas.chart')].every((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value) => value !== 0);
    }),
  );
  seen.charts = await page.locator('canvas.chart').count();
  seen.figures = await page.locator('.dashboard-figures').innerText();
  await page.screenshot({ path: `${folder}/3-dashboard.png`, fullPage: true });
  for (const [index, path] of paths.entries()) {
    const response = await page.goto(`${base}${path}`);
    seen.pages[path] = response.status();
    await page.screenshot({ path: `${folder}/4-page-${index}.png` });
  }
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto(`${base}/admin/`);
  seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  await page.screenshot({ path: `${folder}/5-phone.png`, fullPage: true });
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(`${base}/admin/`);
  await page.evaluate(() => document.querySelector('form[action="/admin/logout/"]').submit());
  await page.waitForSelector('text=You are signed out');
  await page.screenshot({ path: `${folder}/6-signed-out.png` });
  await page.goto(`${base}/admin/`);
  seen.afterLogout = page.url();
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
