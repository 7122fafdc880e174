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
        const row = document.createElement("tr");
        const [head, value] = [document.createElement("th"), document.createElement("td")];
        head.scope = "row";
        head.textContent = name;
        value.textContent = percent(chance);
        row.append(head, value);
        return row;
      }),
    );
  },
};

function showAnswer(answer) {
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
      const item = document.createElement("li");
      item.textContent = `${fault.pointer} ${fault.detail}`;
      byId("problem-errors").append(item);
      continue;
    }
    const error = field.querySelector(".error");
    error.textContent = fault.detail;
    error.hidden = false;
    field.querySelector("input, select").setAttribute("aria-invalid", "true");
  }
  byId("problem-detail").textContent = problem.detail;
  byId("problem-request").textContent = problem.request_id ?? "unknown";
  byId("problem").hidden = false;
  const first = form.querySelector("[aria-invalid]");
  byId("problem-title").textContent = first ? "The marked fields need other values." : problem.title;
  if (first) first.focus();
  else byId("problem").scrollIntoView({ behavior: "smooth", block: "nearest" });
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const response = await fetch(form.getAttribute("action"), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(customer()),
    });
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
