"use strict";
// An element with data-AXIS is shown while its value is among the checked ones of that axis.
// The state is kept in the address, so that a filtered page can be sent to somebody.
(() => {
  const form = document.getElementById("filters");
  const boxes = [...form.querySelectorAll("input")];
  const axes = [...new Set(boxes.map((box) => box.name))];
  const marked = new Set(document.querySelectorAll(axes.map((axis) => `[data-${axis}]`).join()));
  // Inner ones first: a section goes when none of its members is left.
  const groups = [...document.querySelectorAll("[data-group]")].reverse();
  const shown = document.getElementById("shown");

  function chosen() {
    const wanted = new Map();
    for (const axis of axes) {
      const checked = boxes.filter((box) => box.name === axis && box.checked);
      if (checked.length) wanted.set(axis, new Set(checked.map((box) => box.value)));
    }
    return wanted;
  }

  function rescale() {
    for (const chart of document.querySelectorAll("[data-chart]")) {
      const lengths = [...chart.querySelectorAll(".bar:not([hidden])")].map((bar) => +bar.dataset.longest);
      chart.style.setProperty("--max", Math.max(...lengths, 1e-12));
    }
  }

  function apply() {
    const wanted = chosen();
    for (const element of marked) {
      element.toggleAttribute(
        "hidden",
        [...wanted].some(([axis, values]) => axis in element.dataset && !values.has(element.dataset[axis])),
      );
    }
    for (const group of groups) {
      if (marked.has(group) && group.hidden) continue;
      group.hidden = false;
      const members = [...group.querySelectorAll(group.dataset.group)];
      group.hidden = !members.some((member) => !member.closest("[hidden]"));
    }
    rescale();
    const results = [...document.querySelectorAll("details.result")];
    const left = results.filter((result) => !result.hidden).length;
    const names = [...wanted.values()].map((values) => [...values].join(" or "));
    const count = wanted.size ? `${left} of ${results.length} cells` : `all ${left} cells`;
    shown.textContent = [count, ...names].join(", ");
    const words = [...wanted].flatMap(([axis, values]) => [...values].map((value) => [axis, value]));
    const query = new URLSearchParams(words).toString();
    const { pathname, search, hash } = location;
    if (search.slice(1) !== query) {
      try {
        history.replaceState(null, "", `${pathname}${query ? `?${query}` : ""}${hash}`);
      } catch { /* a page inside another may not change its address */ }
    }
  }

  function openTarget() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.matches("details")) {
      target.open = true;
      target.scrollIntoView();
    }
  }

  for (const [axis, value] of new URLSearchParams(location.search)) {
    const box = boxes.find((one) => one.name === axis && one.value === value);
    if (box) box.checked = true;
  }
  form.addEventListener("change", apply);
  document.getElementById("everything").addEventListener("click", () => {
    for (const box of boxes) box.checked = false;
    apply();
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    }
  });
  addEventListener("hashchange", openTarget);
  apply();
  openTarget();
})();
