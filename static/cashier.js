// The cashier's script. The page works without it; with it nobody has to reload.
"use strict";
(() => {
  const zh = document.documentElement.lang.startsWith("zh");
  const main = () => document.getElementById("main");
  const two = (n) => String(n).padStart(2, "0");
  let source, poll, leaving, swapping;
  // A page goes on by itself when it was opened, not when it changed: two devices would take the payment in turn.
  let opened = true;

  // Time left, from the exact end that the server wrote. At the end the server is asked: only it knows.
  function tick() {
    const box = document.querySelector("[data-deadline]");
    if (!box) return;
    const left = Math.ceil((Number(box.dataset.deadline) - Date.now()) / 1000);
    const text = box.querySelector("span");
    if (left <= 0) {
      delete box.dataset.deadline;
      text.textContent = zh ? "时间到了" : "Time is up";
      swap();
    } else if (left < 86400) {
      const hours = Math.floor(left / 3600);
      const clock = (hours ? `${hours}:` : "") + `${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
      text.textContent = zh ? `剩余 ${clock}` : `${clock} left`;
      box.classList.toggle("soon", left <= 60);
    }
  }

  // Puts the page's present face in place of the old one.
  async function swap() {
    if (swapping || !main().dataset.url) return;
    swapping = true;
    try {
      const answer = await fetch(main().dataset.url + main().dataset.query, { headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = next.getElementById("main");
      if (!fresh || fresh.dataset.mark === main().dataset.mark) return;
      document.title = next.title;
      main().replaceWith(document.importNode(fresh, true));
      main().querySelector("h1")?.setAttribute("tabindex", "-1");
      main().querySelector("h1")?.focus({ preventScroll: true });
      begin();
    } catch {
      // No connection: the next event or question tries again.
    } finally {
      swapping = false;
    }
  }

  function heard(status) {
    if (status.mark !== main().dataset.mark) swap();
    if (status.done) rest();
  }

  async function ask() {
    try {
      const answer = await fetch(`${main().dataset.url}/status${main().dataset.query}`);
      if (answer.ok) heard(await answer.json());
    } catch {
      // As above.
    }
  }

  function rest() {
    source?.close();
    clearInterval(poll);
    source = poll = undefined;
  }

  function askFromNowOn() {
    source?.close();
    source = undefined;
    poll ??= setInterval(ask, 4000);
  }

  // WeChat's own sheet. What it answers proves nothing: the server asks the channel.
  function openSheet(button) {
    const { appId, timeStamp, nonceStr, signType, paySign } = button.dataset;
    const order = { appId, timeStamp, nonceStr, package: button.dataset.package, signType, paySign };
    const said = (what) => {
      for (const note of document.querySelectorAll("[data-bridge-said]")) note.hidden = note.dataset.bridgeSaid !== what;
    };
    if (!window.WeixinJSBridge) return said("fail");
    said("");
    window.WeixinJSBridge.invoke("getBrandWCPayRequest", order, (answer) => {
      if (answer.err_msg === "get_brand_wcpay_request:ok") location.assign(`${main().dataset.url}/return`);
      else said(answer.err_msg === "get_brand_wcpay_request:cancel" ? "cancel" : "fail");
    });
  }

  function goOn() {
    const start = opened && document.querySelector("[data-begin]");
    if (start?.requestSubmit) start.requestSubmit();
    else if (start) start.submit ? start.submit() : start.click();
    const button = document.querySelector("[data-bridge]");
    if (button) {
      button.hidden = false;
      button.onclick = () => openSheet(button);
      if (opened && button.dataset.bridge === "true") {
        if (window.WeixinJSBridge) openSheet(button);
        else document.addEventListener("WeixinJSBridgeReady", () => openSheet(button), { once: true });
      }
    }
    opened = false;
  }

  function begin() {
    rest();
    clearTimeout(leaving);
    const page = main();
    // What was wished for once is not wished for again when somebody comes back here.
    if (location.search && location.search !== page.dataset.query && page.dataset.url) {
      history.replaceState(null, "", page.dataset.url + page.dataset.query);
    }
    tick();
    goOn();
    if (page.dataset.forward) {
      leaving = setTimeout(() => location.assign(page.dataset.forward), Number(page.dataset.after) * 1000);
      return;
    }
    if (!("live" in page.dataset)) return;
    if (!("EventSource" in window)) return askFromNowOn();
    source = new EventSource(`${page.dataset.url}/events${page.dataset.query}`);
    source.addEventListener("status", (event) => heard(JSON.parse(event.data)));
    source.onerror = () => source?.readyState === EventSource.CLOSED && askFromNowOn();
  }

  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) return event.preventDefault();
    event.target.dataset.sent = "yes";
    event.submitter?.setAttribute("aria-busy", "true");
  });
  // Coming back from the wallet: look at once, and let forms be sent again.
  addEventListener("pageshow", (event) => {
    for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
    for (const busy of document.querySelectorAll("[aria-busy]")) busy.removeAttribute("aria-busy");
    if (event.persisted) ask();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && "live" in main().dataset) ask();
  });
  setInterval(tick, 500);
  begin();
})();
