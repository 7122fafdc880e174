// Renews the page's content every few seconds. Unlike a reload it keeps the scroll position, and it
// survives a restart of the service.
"use strict";

const SECONDS = Number(document.currentScript.dataset.seconds);

async function renew() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(SECONDS * 1000) });
    if (!answer.ok) throw new Error(answer.statusText);
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    document.getElementById("silent").hidden = false;
  }
  setTimeout(renew, SECONDS * 1000);
}

function show(fresh) {
  document.title = fresh.title;
  const focused = document.activeElement?.getAttribute("href");
  for (const part of ["header", "main", "footer"]) {
    const [old, next] = [document, fresh].map((page) => page.querySelector(`body > ${part}`));
    if (old.innerHTML !== next.innerHTML) old.replaceWith(next);
  }
  // A link that was replaced has lost the focus.
  if (focused) document.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

setTimeout(renew, SECONDS * 1000);
