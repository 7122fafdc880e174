"use strict";

const form = document.getElementById("customer");
const byId = (id) => document.getElementById(id);

/** A field as the request carries it; undefined leaves it out. */
function valueOf(field) {
  const text = field.querySelector("input, select").value;
  if (text === "") return undefined;
  switch (field.dataset.kind) {
    case "category":
    case "date":
    case "key":
      return text;
    case "boolean":
      return text === "true";
    default:
      return Number(text);
  }
}

function customer() {
  const fields = form.querySelectorAll("[data-feature]");
  return Object.fromEntries(Array.from(fields, (f) => [f.dataset.feature, valueOf(f)]));
}

function clear() {
  byId("answer").hidden = true;
  byId("problem").hidden = true;
  byId("problem-errors").replaceChildren();
  for (const field of form.querySelectorAll("[data-feature]")) {
    const error = field.querySelector(".error");
    error.hidden = true;
    error.textContent = "";
    field.querySelector("input, select").removeAttribute("aria-invalid");
  }
}

const percent = (chance) => `${(100 * chance).toFixed(1)} %`;

/** Shows what kind of prediction it is: a probability, a number, or a class with its rivals. */
const showPrediction = {
  binary(chance) {
    byId("prediction").textContent = percent(chance);
    byId("bar").style.width = `${100 * chance}%`;
  },
  regression(number) {
    byId("prediction").textContent = number.toLocaleString("en", { maximumSignificantDigits: 6 });
  },
  multiclass(label, probabilities) {
    byId("prediction").textContent = label;
    const ordered = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
    byId("probabilities").replaceChildren(
      ...ordered.map(([name, chance]) => {
        const [row, head] = [part("tr"), part("th", "", name)];
        head.scope = "row";
        row.append(head, part("td", "", percent(chance)));
        return row;
      }),
    );
  },
};

const MOST_BARS = 12;

/** The value of a field, as a person reads it. */
function textOf(name) {
  const input = form.querySelector(`[data-feature="${CSS.escape(name)}"] :is(input, select)`);
  const text = input.selectedOptions ? input.selectedOptions[0].textContent : input.value;
  return text === "" ? "not known" : text;
}

function part(kind, className = "", text = "") {
  const element = document.createElement(kind);
  element.className = className;
  element.textContent = text;
  return element;
}

/** Shows what each feature contributes, most first; the many that say little are added up. */
function showWhy(why) {
  byId("why").hidden = !why;
  byId("no-why").hidden = Boolean(why);
  if (!why) return;
  const all = Object.entries(why.contributions).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const bars = all.length > MOST_BARS + 1 ? MOST_BARS : all.length;
  const rows = all.slice(0, bars).map(([name, amount]) => {
    const label = form.querySelector(`[data-feature="${CSS.escape(name)}"] label`).textContent;
    return [label, textOf(name), amount];
  });
  const others = all.slice(bars);
  if (others.length) {
    rows.push([`${others.length} other features`, "", others.reduce((sum, each) => sum + each[1], 0)]);
  }
  const largest = Math.max(...rows.map((row) => Math.abs(row[2]))) || 1;
  // Three digits of the largest: what is beyond them decides nothing.
  const decimals = Math.min(Math.max(2 - Math.floor(Math.log10(largest)), 0), 20);
  const signed = (number) =>
    number.toLocaleString("en", {
      signDisplay: "exceptZero",
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
    });
  byId("contributions").replaceChildren(
    ...rows.map(([label, text, amount]) => {
      const row = part("li");
      const [track, bar] = [part("div", "track"), part("div", amount < 0 ? "lowers" : "raises")];
      bar.style.width = `${(50 * Math.abs(amount)) / largest}%`;
      track.setAttribute("aria-hidden", "true");
      track.append(bar);
      row.append(part("span", "name", label), part("span", "value", text), part("span", "amount", signed(amount)), track);
      return row;
    }),
  );
  byId("why-class").textContent = why.class ? `: ${why.class}` : "";
  byId("why-base").textContent = signed(why.base);
  byId("why-margin").textContent = signed(why.margin);
}

function showAnswer(answer) {
  showWhy(answer.explanation);
  showPrediction[form.dataset.target](answer[form.dataset.answer], answer.probabilities);
  if ("decision" in answer) byId("decision").textContent = answer.decision ? "yes" : "no";
  byId("prediction-id").textContent = answer.prediction_id;
  byId("run-id").textContent = answer.model_run_id;
  byId("answer").hidden = false;
  byId("answer").scrollIntoView({ behavior: "smooth", block: "nearest" });
}

/** Shows each fault at its field; what has no field of its own is listed. */
function showProblem(problem) {
  for (const fault of problem.errors ?? []) {
    const field = form.querySelector(`[data-feature="${CSS.escape(fault.pointer.slice(1))}"]`);
    if (!field) {
      byId("problem-errors").append(part("li", "", `${fault.pointer} ${fault.detail}`));
      continue;
    }
    const error = field.querySelector(".error");
    error.textContent = fault.detail;
    error.hidden = false;
    field.querySelector("input, select").setAttribute("aria-invalid", "true");
  }
  byId("problem-request").textContent = problem.request_id ?? "unknown";
  byId("problem").hidden = false;
  const first = form.querySelector("[aria-invalid]");
  byId("problem-title").textContent = first ? "The marked fields need other values." : problem.title;
  byId("problem-detail").textContent = first ? "" : problem.detail;
  if (first) first.focus();
  else byId("problem").scrollIntoView({ behavior: "smooth", block: "nearest" });
}

function predict(query) {
  return fetch(form.getAttribute("action") + query, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(customer()),
  });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    let response = await predict("?explain=1");
    // What cannot be explained now may still be predicted; nothing was kept yet.
    if (response.status === 503) response = await predict("");
    const document = await response.json();
    clear();
    if (response.ok) showAnswer(document);
    else showProblem(document);
  } catch (error) {
    clear();
    showProblem({ title: "The server cannot be reached.", detail: String(error) });
  } finally {
    button.disabled = false;
  }
});
