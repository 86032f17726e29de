// The console's script. Every page works without it; it only saves steps. What it reads: see the head of coffer.css.
"use strict";
(() => {
  const root = document.documentElement;
  const zh = root.lang.startsWith("zh");
  const say = (chinese, english) => (zh ? chinese : english);
  root.classList.add("js");

  // A short word at the bottom, also for screen readers.
  let toastTimer;
  function toast(text) {
    let box = document.getElementById("toast");
    if (!box) {
      box = document.createElement("div");
      box.id = "toast";
      box.className = "toast";
      box.setAttribute("role", "status");
      document.body.append(box);
    }
    box.textContent = text;
    box.hidden = false;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => (box.hidden = true), 2400);
  }

  async function copy(button) {
    const from = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
    const text = from ? from.textContent : button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Plain http has no clipboard; the old way still works there.
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "sr";
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1500);
    toast(say("已复制", "Copied"));
  }

  function setTheme(theme) {
    root.dataset.theme = theme;
    document.cookie = `coffer_theme=${theme}; path=/; max-age=34560000; samesite=lax`;
  }

  // Asks in a <dialog> before a form is sent. The dialog holds the real button, or names it with data-send.
  function askFirst(button, event) {
    const dialog = document.getElementById(button.dataset.confirm);
    if (!dialog || typeof dialog.showModal !== "function") return;
    event.preventDefault();
    dialog.showModal();
    const send = dialog.querySelector("[data-send]");
    if (send && button.form) {
      send.onclick = (click) => {
        click.preventDefault();
        delete button.dataset.confirm;
        dialog.close();
        button.form.requestSubmit(button);
      };
    }
  }

  // Replaces the parts of the page that a filter changes.
  let asking;
  async function load(url, push) {
    const marks = [...document.querySelectorAll("[data-part]")];
    const form = document.querySelector("form[data-filter]");
    form?.setAttribute("aria-busy", "true");
    asking?.abort();
    asking = new AbortController();
    try {
      const answer = await fetch(url, { signal: asking.signal, credentials: "same-origin" });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of marks) {
        const fresh = next.getElementById(old.id);
        if (fresh) old.replaceWith(document.importNode(fresh, true));
      }
      if (push) history.pushState({ filter: true }, "", url);
    } catch (error) {
      if (error.name !== "AbortError") location.assign(url);
    } finally {
      form?.removeAttribute("aria-busy");
    }
  }
  function filterUrl(form) {
    // By attribute: a field named "action" or "method" would hide the property.
    const url = new URL(form.getAttribute("action") || "", location.href);
    url.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== "")).toString();
    return url.toString();
  }

  // <main data-live="url">: the server sends an event when something changed; asking every few seconds is the fallback.
  function live(element) {
    const url = element.dataset.live;
    const refresh = () => load(location.href, false);
    const poll = () => setInterval(() => document.hidden || refresh(), 5000);
    if (!("EventSource" in window)) return poll();
    const source = new EventSource(url);
    source.addEventListener("change", refresh);
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) poll();
    };
  }

  // <div data-part data-poll="ms">: looked at again for as long as it says so.
  function poll() {
    const part = document.querySelector("[data-poll]");
    if (!part) return;
    setTimeout(async () => {
      if (!document.hidden) await load(location.href, false);
      poll();
    }, Number(part.dataset.poll));
  }

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target) return;
    const button = target.closest("[data-copy], [data-copy-from]");
    if (button) {
      event.preventDefault();
      copy(button);
      return;
    }
    const theme = target.closest("[data-theme-to]");
    if (theme) {
      event.preventDefault();
      setTheme(theme.dataset.themeTo);
    }
    const confirm = target.closest("[data-confirm]");
    if (confirm) askFirst(confirm, event);
    const close = target.closest("dialog [data-close]");
    if (close) close.closest("dialog").close();
    // A click on the shade closes; a dialog's content never is the dialog itself.
    if (target instanceof HTMLDialogElement) target.close();
    const part = target.closest("a[data-filter-link]");
    if (part && !event.metaKey && !event.ctrlKey) {
      event.preventDefault();
      load(part.href, true);
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(target) || theme) menu.open = false;
    }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("form[data-filter]")) {
      event.preventDefault();
      load(filterUrl(form), true);
      return;
    }
    // A second click must not send twice. The server would refuse it; the person should not have to see that.
    if (form.getAttribute("method") === "post") {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "yes";
      event.submitter?.setAttribute("aria-busy", "true");
    }
  });
  // Coming back with the back button finds the form as it was left.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    for (const busy of document.querySelectorAll(".btn[aria-busy]")) busy.removeAttribute("aria-busy");
  });
  addEventListener("popstate", (event) => event.state?.filter !== undefined && load(location.href, false));

  // A file is typed in by choosing it: text as it is, everything else as base64. It leaves the browser with the form, not before.
  const FILE_MAX_BYTES = 14_000;
  async function fill(chooser) {
    const [file] = chooser.files;
    const area = document.getElementById(chooser.dataset.into);
    if (!file || !area) return;
    if (file.size > FILE_MAX_BYTES) {
      toast(say("文件太大，不是这一项", "Too large for this field"));
      return;
    }
    const bytes = new Uint8Array(await file.arrayBuffer());
    const isText = bytes.every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte < 127));
    const letters = String.fromCharCode(...bytes);
    area.value = isText ? letters : btoa(letters);
    toast(file.name);
  }

  document.addEventListener("change", (event) => {
    if (event.target.dataset?.into) {
      fill(event.target);
      return;
    }
    const form = event.target.form;
    if (form?.matches("form[data-filter]")) load(filterUrl(form), true);
  });

  // Typed confirmation: the button wakes when the text agrees.
  document.addEventListener("input", (event) => {
    const wanted = event.target.dataset?.typed;
    if (wanted === undefined) return;
    const button = event.target.form.querySelector("button.primary");
    button.disabled = event.target.value.trim() !== wanted;
  });

  const rooms = { h: "/console", p: "/console/payments", r: "/console/refunds", c: "/console/callbacks", l: "/console/ledger", d: "/console/developers", s: "/console/settings" };
  let waiting = 0;
  if (document.querySelector("[data-keys]")) {
    document.addEventListener("keydown", (event) => {
      const at = event.target;
      if (event.key === "Escape") {
        for (const menu of document.querySelectorAll("details.menu[open]")) {
          menu.open = false;
          menu.querySelector("summary").focus();
        }
      }
      if (event.metaKey || event.ctrlKey || event.altKey || at.isContentEditable) return;
      if (at.matches?.("input, textarea, select") || document.querySelector("dialog[open]")) return;
      if (event.key === "/") {
        event.preventDefault();
        document.getElementById("q")?.focus();
      } else if (event.key === "?") {
        document.getElementById("keys")?.showModal();
      } else if (event.key === "g") {
        waiting = event.timeStamp;
        return;
      } else if (waiting && event.timeStamp - waiting < 1200 && rooms[event.key]) {
        location.assign(rooms[event.key]);
      }
      waiting = 0;
    });
  }

  // Values of a chart at the pointer, at once instead of after the browser's delay.
  let tip;
  document.addEventListener("pointermove", (event) => {
    const mark = event.target instanceof Element && event.target.closest(".chart .day, .shares rect");
    if (!mark) {
      tip?.remove();
      tip = undefined;
      return;
    }
    const title = mark.querySelector("title");
    if (title) {
      mark.dataset.tip = title.textContent;
      title.remove();
    }
    if (!tip) {
      tip = document.createElement("div");
      tip.className = "tip";
      tip.setAttribute("aria-hidden", "true");
      document.body.append(tip);
    }
    tip.textContent = mark.dataset.tip;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    tip.style.left = `${left}px`;
    tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 12)}px`;
  }, { passive: true });

  for (const element of document.querySelectorAll("[data-live]")) live(element);
  poll();
  for (const element of document.querySelectorAll("[data-toast]")) toast(element.dataset.toast);
})();
