// What pages do by themselves: they keep what is marked `data-live` as it is now, and can be walked by keys.
// Without this file every page can be read and every form sent.
"use strict";

(() => {
  const isBusy = () => document.hidden || document.querySelector("input[name=origin]:checked") !== null;
  let isFetching = false;

  // Fetch this very page, and put its live parts in place of the old ones.
  const refresh = async () => {
    if (isFetching || isBusy()) return;
    isFetching = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected) { location.reload(); return; }
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const at = document.querySelector("tr.at")?.dataset.href;
      const kept = document.activeElement;
      for (const old of document.querySelectorAll("[data-live]")) {
        const now = fresh.getElementById(old.id);
        if (now === null || old.contains(kept) && kept.matches("input, select, button")) continue;
        if (!old.isEqualNode(now)) old.replaceWith(document.adoptNode(now));
      }
      if (at) mark([...rows()].find((row) => row.dataset.href === at));
    } catch {
      // The server is away: the stream of events comes back by itself, and so does this.
    } finally {
      isFetching = false;
      again();
    }
  };

  // A part may ask to be fetched again soon, such as an action that goes on.
  const again = () => {
    const soon = document.querySelector("[data-again]");
    if (soon !== null) setTimeout(refresh, Number(soon.dataset.again));
  };

  const rows = () => document.querySelectorAll("tr[data-href]");

  const mark = (row) => {
    document.querySelector("tr.at")?.classList.remove("at");
    row?.classList.add("at");
    row?.scrollIntoView({ block: "nearest" });
  };

  const step = (by) => {
    const all = [...rows()];
    if (all.length === 0) return;
    const at = all.findIndex((row) => row.classList.contains("at"));
    mark(all[Math.min(all.length - 1, Math.max(0, at < 0 && by < 0 ? 0 : at + by))]);
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.matches("input, select, textarea")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const search = document.getElementById("search");
    if (event.key === "/" && search) { event.preventDefault(); search.focus(); search.select(); }
    else if (event.key === "j" || event.key === "ArrowDown" && document.querySelector("tr.at")) { event.preventDefault(); step(1); }
    else if (event.key === "k" || event.key === "ArrowUp" && document.querySelector("tr.at")) { event.preventDefault(); step(-1); }
    else if (event.key === "x") document.querySelector("tr.at input[name=origin]")?.click();
    else if (event.key === "Enter" && !target.matches("a, button")) {
      const row = document.querySelector("tr.at");
      if (row) location.assign(row.dataset.href);
    }
  });

  if (document.querySelector("nav") !== null && typeof EventSource === "function") {
    const events = new EventSource("/events");
    events.addEventListener("look", refresh);
    addEventListener("pagehide", () => events.close());
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  }
  again();
})();
